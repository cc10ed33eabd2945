"""Area-weighted surface distance against closed forms, brute force over contours and MONAI."""

import math
from dataclasses import astuple
from itertools import permutations

import numpy as np
import pytest
import torch
from monai.metrics import SurfaceDistanceMetric
from scipy import ndimage

from aunet.metrics.surface_distance import border_distances
from tests.metrics.surface_metrics import average_surface_distance, voxel_surface_distance

THICK = (0.7, 0.7, 5.0)


def body(
    semi_axes: tuple[float, float, float],
    spacing: tuple[float, float, float],
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    extent: float = 60.0,
) -> np.ndarray:
    """Return an ellipsoid in a scan of ``extent`` mm along each axis, whose centre is not a voxel's."""
    axes = [np.arange(-extent / 2, extent / 2, side) - place for side, place in zip(spacing, centre, strict=True)]
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    return sum((axis / radius) ** 2 for axis, radius in zip(grid, semi_axes, strict=True)) <= 1


def ball(radius: float, spacing: tuple[float, ...], centre: tuple[float, ...] = (0.0, 0.0, 0.0)) -> np.ndarray:
    return body((radius,) * 3, spacing, centre)


def mean_of_shifted(
    semi_axes: tuple[float, float, float],
    shift: tuple[float, float, float],
    heights: tuple[float, float] = (-math.inf, math.inf),
) -> float:
    """Mean of |n . shift| over the surface of an ellipsoid between two ``heights``, the distance to itself shifted."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, 801), np.linspace(0, 2 * np.pi, 1601), indexing="ij")
    a, b, c = semi_axes
    x, y, z = np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)
    # The vector of the area element, up to a constant: sin(polar) (b c x, a c y, a b z).
    normal = (np.sin(polar) * np.array([b * c * x, a * c * y, a * b * z]))[
        :, (heights[0] < c * z) & (c * z < heights[1])
    ]
    return float(np.abs(np.tensordot(shift, normal, axes=1)).sum() / np.linalg.norm(normal, axis=0).sum())


def distances_of_circles(radius: float, shift: float) -> float:
    """Mean distance between two circles of one radius, closed form of each point's distance."""
    angle = np.linspace(0, 2 * np.pi, 10_001)
    return float(np.abs(np.sqrt(radius**2 + shift**2 - 2 * radius * shift * np.cos(angle)) - radius).mean())


def discs(shift: tuple[int, int], radius: int = 25) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:100, :100]
    first, second = (
        (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
        for centre in ((45, 45), (45 + shift[0], 45 + shift[1]))
    )
    return first, second


def distance_over_pairs_of_border_pixels(first: np.ndarray, second: np.ndarray) -> float:
    a, b = (np.argwhere(mask & ~ndimage.binary_erosion(mask)) for mask in (first, second))
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return float(np.concatenate([distances.min(axis=1), distances.min(axis=0)]).mean())


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (0.3, -0.2, 1.4), (0.1, 0.2, -2.3)])
@pytest.mark.parametrize(
    ("spacing", "tolerance"), [((1.0, 1.0, 1.0), 0.1), ((1.0, 1.0, 3.0), 0.15), (THICK, 0.3)], ids=str
)
def test_concentric_spheres_are_as_far_apart_as_their_radii(
    spacing: tuple[float, ...], tolerance: float, centre: tuple[float, ...]
) -> None:
    distance = average_surface_distance(ball(20, spacing, centre), ball(22, spacing, centre), spacing)

    assert distance == pytest.approx(2, abs=tolerance)


@pytest.mark.parametrize("direction", [0, 30, 45])
def test_spheres_shifted_in_plane_are_half_the_shift_apart_with_thick_slices(direction: float) -> None:
    along, across = 3 * math.cos(math.radians(direction)), 3 * math.sin(math.radians(direction))

    distance = average_surface_distance(ball(20, THICK), ball(20, THICK, (along, across, 0.0)), THICK)

    assert distance == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.5), (1.0, 5.0, 1.0)])
def test_a_shifted_organ_is_as_far_as_the_integral_over_its_surface(spacing: tuple[float, float, float]) -> None:
    semi_axes, shift = (24.0, 19.0, 14.0), (3.0, 0.0, 0.0)

    distance = average_surface_distance(body(semi_axes, spacing), body(semi_axes, spacing, shift), spacing)

    assert distance == pytest.approx(mean_of_shifted(semi_axes, shift), rel=0.08)


@pytest.mark.parametrize("kept", [slice(10, 20), slice(0, 11), slice(6, 15)], ids=["upper", "lower", "middle"])
def test_an_organ_that_the_scan_cuts_has_the_distance_of_its_surface_within(kept: slice) -> None:
    """A liver-like body, of which half or the middle is in the scan; half has the mean of all, by symmetry."""
    semi_axes, shift, spacing = (55.0, 50.0, 40.0), (3.0, 0.0, 0.0), (1.0, 1.0, 5.0)
    heights = np.arange(-60, 60, 5)[2:22][kept]
    whole = [body(semi_axes, spacing, centre, extent=120.0)[..., 2:22] for centre in ((0.0, 0.0, 0.0), shift)]
    uncut = average_surface_distance(*whole, spacing)

    cut = average_surface_distance(*(mask[..., kept] for mask in whole), spacing)

    assert uncut == pytest.approx(mean_of_shifted(semi_axes, shift), rel=0.1)
    assert cut == pytest.approx(mean_of_shifted(semi_axes, shift, (heights[0], heights[-1])), rel=0.1)
    if kept != slice(6, 15):
        assert cut == pytest.approx(uncut, rel=0.1)


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 5.0), (1.0, 1.0, 1.0)])
def test_a_vessel_through_the_whole_scan_has_the_distance_of_its_wall(spacing: tuple[float, float, float]) -> None:
    narrow, wide = (body((radius, radius, 1e6), spacing)[..., :6] for radius in (20, 23))

    assert average_surface_distance(narrow, wide, spacing) == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("shift", [(0, 6), (6, 0), (4, 4)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_discs_of_a_picture_are_as_far_as_their_contours(shift: tuple[int, int], axis: int) -> None:
    first, second = discs(shift)

    distance = average_surface_distance(np.expand_dims(first, axis), np.expand_dims(second, axis), (1, 1, 1))

    assert distance == pytest.approx(distance_over_pairs_of_border_pixels(first, second), abs=0.1)
    assert distance == pytest.approx(distances_of_circles(25, math.hypot(*shift)), abs=0.15)
    assert distance == average_surface_distance(first, second, (1, 1))


def test_a_single_thick_slice_is_scored_in_its_plane() -> None:
    first, second = discs((0, 6))

    distance = average_surface_distance(first[..., None], second[..., None], (0.7, 0.7, 8.0))

    assert distance == pytest.approx(0.7 * average_surface_distance(first, second, (1, 1)))


def test_segments_of_a_line_are_as_far_as_their_ends() -> None:
    first, second = np.zeros((2, 1, 20, 1), dtype=bool)
    first[0, 3:8], second[0, 5:9] = True, True

    # The ends are at 2.5 and 7.5, and at 4.5 and 8.5: 2 and 1 voxels of 1.5 mm.
    assert average_surface_distance(first, second, (9.0, 1.5, 9.0)) == pytest.approx(1.5 * (2 + 1) / 2)


def test_planes_are_as_far_as_their_shift() -> None:
    masks = np.zeros((2, 9, 8, 12), dtype=bool)
    masks[0, ..., 4:], masks[1, ..., 7:] = True, True

    assert average_surface_distance(*masks, (0.8, 1.5, 2.5)) == pytest.approx(3 * 2.5)


def blobs(seed: int, shape: tuple[int, ...] = (30, 26, 22)) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed).normal(size=(2, *shape))
    first, second = (ndimage.gaussian_filter(field, 3) > 0 for field in noise)
    return first, second


@pytest.mark.parametrize("spacing", [(0.8, 1.1, 1.5), (0.7, 0.9, 5.0)])
def test_the_order_and_direction_of_the_axes_change_nothing(spacing: tuple[float, ...]) -> None:
    first, second = blobs(3)
    expected = average_surface_distance(first, second, spacing)

    for order in permutations(range(3)):
        sides = [spacing[axis] for axis in order]
        assert average_surface_distance(first.transpose(order), second.transpose(order), sides) == pytest.approx(
            expected
        )
    for axis in range(3):
        assert average_surface_distance(np.flip(first, axis), np.flip(second, axis), spacing) == pytest.approx(expected)
    assert average_surface_distance(second, first, spacing) == pytest.approx(expected)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), THICK])
def test_equal_masks_are_at_no_distance(spacing: tuple[float, ...]) -> None:
    mask, _ = blobs(0)

    assert average_surface_distance(mask, mask.copy(), spacing) == 0


def test_spacing_scales_the_distance() -> None:
    first, second = blobs(0)

    assert average_surface_distance(first, second, (1.6, 2, 8)) == pytest.approx(
        2 * average_surface_distance(first, second, (0.8, 1, 4))
    )


# MONAI calls itself in a way that it deprecates itself.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_large_bodies_of_cubic_voxels_agree_with_monai() -> None:
    spacing = (1.0, 1.0, 1.0)
    first, second = body((22, 17, 13), spacing), body((20, 19, 15), spacing, (3.0, 1.0, -2.0))

    monai = SurfaceDistanceMetric(include_background=True, symmetric=True)
    monai(*(torch.from_numpy(mask)[None, None] for mask in (first, second)), spacing=spacing)

    # MONAI counts border voxels alike, half a voxel within the surface.
    assert average_surface_distance(first, second, spacing) == pytest.approx(monai.aggregate().item(), rel=0.05)


@pytest.mark.parametrize("empty", ["prediction", "reference", "both"])
def test_an_empty_mask_has_no_distance(empty: str) -> None:
    nothing, something = np.zeros((5, 5, 5), dtype=bool), ball(2, (12.0, 12.0, 12.0))
    masks = {"prediction": (nothing, something), "reference": (something, nothing), "both": (nothing, nothing)}

    assert math.isnan(average_surface_distance(*masks[empty], THICK))
    assert [len(part) for part in astuple(border_distances(*masks[empty], THICK))] == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(5, 4, 6), (5, 4, 1), (1, 1, 1)])
def test_a_class_that_fills_the_scan_has_no_surface(shape: tuple[int, ...]) -> None:
    full = np.ones(shape, dtype=bool)

    assert math.isnan(average_surface_distance(full, full, THICK))


def test_the_voxel_form_measures_a_picture_in_its_plane_too() -> None:
    first, second = discs((0, 6))

    distance = voxel_surface_distance(first[..., None], second[..., None], (1, 1, 1))

    assert distance == pytest.approx(distance_over_pairs_of_border_pixels(first, second))
    assert distance == pytest.approx(3.61, abs=0.005)
