"""Distance over border voxels against closed forms, all pairs, distance transforms and MONAI."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance
from scipy import ndimage

from aunet.metrics.surface_distance import border_points
from tests.metrics.surface_metrics import voxel_surface_distance

SPACING = (0.8, 1.5, 5.0)


def ball(radius: float, spacing: tuple[float, ...], extent: float = 44.0) -> np.ndarray:
    axes = [np.arange(-extent / 2, extent / 2, side) for side in spacing]
    return np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij"))) <= radius


def random_blobs(seed: int, shape: tuple[int, ...] = (14, 12, 9)) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed).normal(size=(2, *shape))
    first, second = (ndimage.gaussian_filter(field, 1.5) > 0.02 for field in noise)
    return first, second


def border_by_looking_at_every_neighbour(mask: np.ndarray) -> list[tuple[int, ...]]:
    steps = [step for step in product((-1, 0, 1), repeat=mask.ndim) if np.abs(step).sum() == 1]
    padded = np.pad(mask, 1)
    return [
        tuple(voxel)
        for voxel in np.argwhere(mask)
        if not all(padded[tuple(voxel + 1 + np.array(step))] for step in steps)
    ]


def distance_over_all_pairs(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...]) -> float:
    a, b = (np.array(border_by_looking_at_every_neighbour(mask)) * spacing for mask in (first, second))
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return float(np.concatenate([distances.min(axis=1), distances.min(axis=0)]).mean())


def distance_by_transforms(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...]) -> float:
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (first, second)]
    to_first, to_second = (ndimage.distance_transform_edt(~border, sampling=spacing) for border in borders)
    return float(np.concatenate([to_second[borders[0]], to_first[borders[1]]]).mean())


def test_concentric_balls_are_as_far_apart_as_their_radii() -> None:
    spacing = (0.5, 0.5, 0.5)

    distance = voxel_surface_distance(ball(12, spacing), ball(17, spacing), spacing)

    assert distance == pytest.approx(5, abs=0.25)


@pytest.mark.parametrize(("axis", "expected"), [(0, 3 * 0.8), (1, 3 * 1.5), (2, 3 * 5.0)])
def test_a_shifted_plane_is_as_far_as_the_shift_in_mm(axis: int, expected: float) -> None:
    plane = np.zeros((10, 10, 10), dtype=bool)
    plane[(slice(None),) * axis + (2,)] = True

    assert voxel_surface_distance(plane, np.roll(plane, 3, axis), SPACING) == pytest.approx(expected)


def test_two_single_voxels_are_as_far_as_their_centres() -> None:
    first, second = np.zeros((2, 6, 6, 6), dtype=bool)
    first[1, 1, 1] = second[4, 3, 2] = True

    expected = math.dist((1 * 0.8, 1 * 1.5, 1 * 5.0), (4 * 0.8, 3 * 1.5, 2 * 5.0))

    assert voxel_surface_distance(first, second, SPACING) == pytest.approx(expected)


def test_equal_masks_are_at_no_distance() -> None:
    assert voxel_surface_distance(ball(9, SPACING), ball(9, SPACING), SPACING) == 0


def test_spacing_scales_the_distance() -> None:
    masks = random_blobs(0)
    doubled = tuple(2 * side for side in SPACING)

    assert voxel_surface_distance(*masks, doubled) == pytest.approx(2 * voxel_surface_distance(*masks, SPACING))


@pytest.mark.parametrize("seed", range(4))
def test_random_shapes_agree_with_all_pairs_of_border_voxels(seed: int) -> None:
    masks = random_blobs(seed)

    expected = distance_over_all_pairs(*masks, SPACING)

    assert voxel_surface_distance(*masks, SPACING) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_random_shapes_agree_with_distance_transforms(seed: int) -> None:
    masks = random_blobs(seed, (40, 33, 21))

    assert voxel_surface_distance(*masks, SPACING) == pytest.approx(distance_by_transforms(*masks, SPACING))


# MONAI calls itself in a way that it deprecates itself.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(4))
def test_random_shapes_agree_with_monai(seed: int) -> None:
    first, second = random_blobs(seed, (40, 33, 21))
    batch = [torch.from_numpy(mask)[None, None] for mask in (first, second)]

    expected = compute_average_surface_distance(*batch, include_background=True, symmetric=True, spacing=SPACING)

    assert voxel_surface_distance(first, second, SPACING) == pytest.approx(expected.item(), rel=1e-5)


def test_the_edge_of_the_array_is_a_border() -> None:
    full = np.ones((4, 5, 6), dtype=bool)

    points = border_points(full, (1, 1, 1))

    assert {tuple(point) for point in points.astype(int)} == set(border_by_looking_at_every_neighbour(full))


def test_two_axes_are_measured_as_three() -> None:
    first, second = random_blobs(3, (30, 20))

    expected = distance_over_all_pairs(first, second, (0.7, 2.0))

    assert voxel_surface_distance(first, second, (0.7, 2.0)) == pytest.approx(expected)


@pytest.mark.parametrize("empty", ["prediction", "reference", "both"])
def test_an_empty_mask_has_no_distance(empty: str) -> None:
    nothing, something = np.zeros((5, 5, 5), dtype=bool), np.ones((5, 5, 5), dtype=bool)
    masks = {"prediction": (nothing, something), "reference": (something, nothing), "both": (nothing, nothing)}

    assert math.isnan(voxel_surface_distance(*masks[empty], SPACING))
