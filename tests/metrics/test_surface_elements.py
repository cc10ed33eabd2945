"""Elements of surfaces against closed forms and MONAI's table of areas."""

import math

import numpy as np
import pytest
from monai.metrics.utils import ENCODING_KERNEL, create_table_neighbour_code_to_surface_area
from scipy import ndimage

from aunet.metrics.surface_elements import surface_elements


def cell(*inside: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((2, 2, 2), dtype=bool)
    for corner in inside:
        mask[corner] = True
    return mask


def area(mask: np.ndarray, spacing: tuple[float, ...]) -> float:
    return float(surface_elements(mask, spacing)[1].sum())


def triangle(*lengths: float) -> float:
    """Area by Heron's formula, of a triangle given by the lengths of its sides."""
    half = sum(lengths) / 2
    return math.sqrt(half * math.prod(half - length for length in lengths))


def test_a_corner_is_cut_off_by_the_triangle_of_its_middles() -> None:
    centroids, areas = surface_elements(cell((0, 0, 0)), (1.0, 1.2, 1.4))

    a, b, c = 0.5, 0.6, 0.7
    assert areas == pytest.approx([triangle(math.hypot(a, b), math.hypot(b, c), math.hypot(a, c))])
    np.testing.assert_allclose(centroids, [[a / 3, b / 3, c / 3]])


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (((0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)), 1.2 * 1.4),
        (((0, 0, 0), (0, 0, 1)), math.hypot(0.5, 0.6) * 1.4),
        (((0, 0, 0), (1, 1, 1)), 2 * triangle(math.hypot(0.5, 0.6), math.hypot(0.6, 0.7), math.hypot(0.5, 0.7))),
    ],
    ids=["plane", "edge", "two corners"],
)
def test_flat_patches_have_the_area_of_their_polygon(inside: tuple[tuple[int, int, int], ...], expected: float) -> None:
    assert area(cell(*inside), (1.0, 1.2, 1.4)) == pytest.approx(expected)
    assert area(~cell(*inside), (1.0, 1.2, 1.4)) == pytest.approx(expected)


def area_by_monai(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    table, _ = create_table_neighbour_code_to_surface_area(spacing)
    kernel = np.array(ENCODING_KERNEL[3])
    codes = sum(
        kernel[place] * mask[tuple(slice(at, length - 1 + at) for at, length in zip(place, mask.shape, strict=True))]
        for place in np.ndindex(2, 2, 2)
    )
    return float(table.numpy()[codes].sum())


# MONAI wraps a list of arrays in a way that torch warns about.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.1, 1.5)])
@pytest.mark.parametrize("seed", range(3))
def test_areas_of_smooth_shapes_agree_with_monai(seed: int, spacing: tuple[float, float, float]) -> None:
    """MONAI cuts patches of five and six corners into triangles otherwise, which have larger areas."""
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 33, 21)), 3) > 0

    assert area(mask, spacing) == pytest.approx(area_by_monai(mask, spacing), rel=0.03)


@pytest.mark.parametrize(
    ("spacing", "tolerance"), [((1.0, 1.0, 1.0), 0.08), ((1.0, 1.0, 3.0), 0.04), ((0.7, 0.7, 5.0), 0.02)], ids=str
)
def test_the_elements_of_a_sphere_have_its_area_and_lie_on_it(
    spacing: tuple[float, float, float], tolerance: float
) -> None:
    """Voxels of equal sides overrate it by 7 %, as patches of masks have few directions."""
    axes = np.meshgrid(*(np.arange(-30, 30, side) for side in spacing), indexing="ij")
    centroids, areas = surface_elements(sum(axis**2 for axis in axes) <= 400, spacing)

    radii = np.linalg.norm(centroids - 30, axis=1)
    assert areas.sum() == pytest.approx(4 * math.pi * 400, rel=tolerance)
    assert np.average(radii, weights=areas) == pytest.approx(20, abs=0.1 * max(spacing))


def test_contours_of_a_picture_have_their_length() -> None:
    rows, columns = np.mgrid[:60, :60]
    disc = ((rows - 30) ** 2 + (columns - 30) ** 2 <= 400)[..., None]
    square = np.pad(np.ones((10, 20), dtype=bool), 3)[None]

    assert area(disc, (0.5, 0.5, 5.0)) == pytest.approx(0.5 * 2 * math.pi * 20, rel=0.08)
    # The four corners are cut off from the middle of one side to the middle of the next.
    assert area(square, (5.0, 1.0, 1.0)) == pytest.approx(2 * 9 + 2 * 19 + 4 * math.sqrt(0.5))


def test_the_ends_of_a_line_are_points_of_area_one() -> None:
    line = np.zeros((1, 9, 1), dtype=bool)
    line[0, 3:6] = True

    centroids, areas = surface_elements(line, (7.0, 2.0, 7.0))

    assert centroids.ravel().tolist() == [5.0, 11.0]
    assert areas.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 4.0)])
def test_the_edge_of_the_array_is_not_a_surface(spacing: tuple[float, ...]) -> None:
    half = np.zeros((8, 8, 8), dtype=bool)
    half[:4] = True

    centroids, areas = surface_elements(half, spacing)

    assert set(centroids[:, 0]) == {3.5}
    assert areas.sum() == pytest.approx(7 * 7 * spacing[1] * spacing[2])


def test_between_thick_slices_the_surface_slopes_from_contour_to_contour() -> None:
    """A roof of slope 1 in 2 mm, in slices of 4 mm: its elements lie on the plane."""
    x, _, z = np.meshgrid(np.arange(0, 40.0), np.arange(0, 6.0), np.arange(0, 24.0, 4), indexing="ij")
    centroids, areas = surface_elements(x <= 10.5 + z / 2, (1.0, 1.0, 4.0))

    inner = (centroids[:, 2] > 4) & (centroids[:, 2] < 16)
    distances = np.abs(centroids[inner, 0] - 10.5 - centroids[inner, 2] / 2) / math.hypot(1, 0.5)
    assert distances.max() < 0.5
    assert areas.sum() == pytest.approx(20 * 5 * math.hypot(1, 0.5), rel=0.05)


def test_slices_are_thick_from_twice_the_next_side_on() -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(12, 12, 8)), 2) > 0
    thin, twice, thick = (surface_elements(mask, (1.0, 1.0, side))[0] for side in (2 - 1e-9, 2.0, 2 + 1e-9))

    np.testing.assert_allclose(twice, thick, atol=1e-6)
    assert np.abs(twice - thin).max() > 0.05
