"""Fields of simple shapes against closed forms."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from aunet.data.sources.phantom.canvas import Canvas, depth_below_surface, eroded
from aunet.data.sources.phantom.shapes import curve, ellipsoid, monotone_spline, smooth_union, tube, without
from aunet.data.sources.phantom.space import (
    FIELD_CORNER,
    FIELD_OF_VIEW,
    Space,
    box_of,
    draw_space,
    smooth_noise,
    voxel_positions,
)
from aunet.data.sources.phantom.tissues import Tissue

SPACING = (2.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def straight_space() -> Space:
    axes = voxel_positions(SPACING)
    points = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    return Space(SPACING, 1.0, np.zeros(3), points, np.zeros(points.shape[1:], dtype=np.float32))


def millilitres(values: np.ndarray) -> float:
    return float((values > 0).sum()) * 8 / 1000


def test_an_ellipsoid_has_its_volume(straight_space: Space) -> None:
    field = ellipsoid(straight_space, (3, -5, 8), (20, 30, 40), (20, 0, 40))
    assert millilitres(field.values) == pytest.approx(4 / 3 * np.pi * 20 * 30 * 40 / 1000, rel=0.01)


def test_a_tilted_ellipsoid_is_long_along_its_turned_axis(straight_space: Space) -> None:
    field = ellipsoid(straight_space, (0, 0, 0), (8, 8, 40), (90, 0, 0))
    inside = straight_space.points_in(field.box)[:, field.values > 0]
    assert np.argmax(inside.std(axis=1)) == 1


def test_a_straight_tube_is_a_cylinder_with_round_ends(straight_space: Space) -> None:
    centers, radii = curve([(0, 0, -40), (0, 0, 40)], [10, 10])
    volume = np.pi * 100 * 80 + 4 / 3 * np.pi * 1000
    assert millilitres(tube(straight_space, centers, radii).values) == pytest.approx(volume / 1000, rel=0.02)


def test_a_curve_passes_through_its_knots() -> None:
    knots = np.array([(0, 0, 0), (30, 10, 0), (50, 40, 20), (20, 60, 40)], dtype=float)
    centers, radii = curve(knots, [5, 6, 7, 8], step=0.02)
    nearest = np.linalg.norm(centers[:, None] - knots, axis=2).min(axis=0)
    assert nearest.max() < 0.1
    assert (radii[0], radii[-1]) == pytest.approx((5, 8))


@pytest.mark.parametrize("number", [2, 3, 7])
def test_radii_along_a_curve_are_those_of_scipys_monotone_spline_to_the_last_bit(number: int) -> None:
    generator = np.random.default_rng(number)
    for _ in range(50):
        places = np.concatenate([[0.0], generator.uniform(1, 40, number - 1).cumsum()])
        radii = generator.choice([generator.uniform(1, 30, number), generator.integers(1, 4, number)])
        between = np.linspace(0, places[-1], 30)
        expected = PchipInterpolator(places, radii)(between)
        np.testing.assert_array_equal(monotone_spline(places, radii)(between), expected)


@pytest.mark.parametrize("height", [0, -90])
def test_a_tube_on_bent_coordinates_equals_the_brute_force_union_of_balls(height: float) -> None:
    """Also where the curve leaves the field of view."""
    space = draw_space(np.random.default_rng(3), (8.0, 8.0, 8.0))
    knots = np.array([(60, 20, -40), (0, 60, 10), (-70, 10, 40)]) + (0, 0, height)
    centers, radii = curve(knots, [12, 9, 15])
    offsets = space.points[:, None] - centers.T.astype(np.float32)[:, :, None, None, None]
    expected = (radii[:, None, None, None] - np.sqrt(np.square(offsets).sum(axis=0))).max(axis=0)
    field = tube(space, centers, radii)
    assert (expected > 0).sum() == (field.values > 0).sum()
    inside = field.values > 0
    np.testing.assert_allclose(field.values[inside], expected[field.box][inside], atol=1e-3)


def test_without_leaves_nothing_of_what_is_removed(straight_space: Space) -> None:
    whole, removed = (ellipsoid(straight_space, center, (20, 20, 20)) for center in ((0, 0, 0), (15, 0, 0)))
    rest = without(whole, removed)
    offset = straight_space.points_in(rest.box) - np.array((15, 0, 0))[:, None, None, None]
    is_removed = np.square(offset).sum(axis=0) < 19.9**2
    assert not (rest.values[is_removed] > 0).any()
    assert 0 < millilitres(rest.values) < millilitres(whole.values)


def test_a_tube_that_keeps_its_shape_has_the_box_of_its_balls_alone(straight_space: Space) -> None:
    field = tube(straight_space, np.array([[0.0, 30, 10], [20, 30, 10]]), np.array([5.0, 5]))
    assert max(part.stop - part.start for part in field.box) * 2 < 20 + 2 * (5 + 10)
    outside = tube(straight_space, np.array([[900.0, 0, 0]]), np.array([5.0]))
    assert outside.values.size == 0


def test_a_smooth_union_holds_both_shapes(straight_space: Space) -> None:
    first, second = (ellipsoid(straight_space, (0, 0, z), (10, 10, 10)) for z in (-15, 15))
    union = smooth_union(first, second, 4.0)
    assert millilitres(union.values) >= millilitres(first.values) + millilitres(second.values)


def test_an_organ_is_painted_with_the_volume_asked_for(straight_space: Space) -> None:
    canvas = Canvas(straight_space)
    canvas.tissue[:] = Tissue.VISCERAL_FAT
    canvas.tissue[straight_space.points[0] > 5] = Tissue.LIVER
    canvas.paint_organ(ellipsoid(straight_space, (0, 0, 0), (20, 25, 30)), Tissue.SPLEEN, 50.0, 2.0)
    assert (canvas.tissue == Tissue.SPLEEN).sum() * 8 / 1000 == pytest.approx(50.0, rel=0.01)


def test_gas_lies_in_front_of_the_content(straight_space: Space) -> None:
    canvas = Canvas(straight_space)
    canvas.tissue[:] = Tissue.VISCERAL_FAT
    field = ellipsoid(straight_space, (0, 0, 0), (30, 30, 30))
    canvas.paint_hollow(field, (Tissue.STOMACH_WALL, 4.0), Tissue.STOMACH_CONTENT, gas_above=5.0)
    y = straight_space.points[1]
    assert y[canvas.tissue == Tissue.GAS].min() > 5 >= y[canvas.tissue == Tissue.STOMACH_CONTENT].max()


@pytest.mark.parametrize("thickness", [1, 2, 5])
def test_eroding_agrees_with_scipy_up_to_the_rim_of_the_volume(thickness: int) -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((20, 17, 23)), 2) > -0.02
    expected = ndimage.binary_erosion(mask, iterations=thickness)
    np.testing.assert_array_equal(eroded(mask, thickness), expected)


@pytest.mark.parametrize("corner", [0, 6])
def test_the_depth_in_a_small_mask_is_that_of_the_whole_volume(corner: int) -> None:
    mask = np.zeros((30, 28, 26), dtype=bool)
    mask[corner : corner + 12, 5:20, 8:17] = np.random.default_rng(2).random((12, 15, 9)) > 0.02
    expected = ndimage.distance_transform_edt(mask, sampling=(1.0, 2.0, 2.5))
    np.testing.assert_allclose(depth_below_surface(mask, (1.0, 2.0, 2.5)), expected, rtol=1e-6)
    assert not depth_below_surface(np.zeros_like(mask), (1.0, 2.0, 2.5)).any()


def test_the_box_of_a_mask_is_the_smallest() -> None:
    mask = np.zeros((9, 8, 7), dtype=bool)
    assert mask[box_of(mask)].size == 0
    mask[2, 3, 6] = mask[5, 3, 1] = True
    assert box_of(mask) == (slice(2, 6), slice(3, 4), slice(1, 7))


def test_smooth_noise_is_the_cubic_b_spline_of_its_coefficients() -> None:
    """Oracle: scipy's interpolation of the same coefficients."""
    axes = voxel_positions((16.0, 20.0, 12.0))
    noise = smooth_noise(np.random.default_rng(4), axes, 30.0)
    counts = [int(extent / 30) + 8 for extent in FIELD_OF_VIEW]
    lattice = np.random.default_rng(4).standard_normal(counts, dtype=np.float32) / 0.332
    places = np.meshgrid(
        *((axis - corner) / 30 + 2 for axis, corner in zip(axes, FIELD_CORNER, strict=True)), indexing="ij"
    )
    expected = ndimage.map_coordinates(lattice, places, order=3, prefilter=False)
    np.testing.assert_allclose(noise, expected, atol=1e-4)


def test_smooth_noise_has_unit_deviation_and_is_the_same_at_every_spacing() -> None:
    coarse, fine = (
        smooth_noise(np.random.default_rng(1), voxel_positions((step, step, step)), 9.0) for step in (4.0, 2.0)
    )
    assert coarse.std() == pytest.approx(1.0, abs=0.05)
    middle = fine.reshape(coarse.shape[0], 2, coarse.shape[1], 2, coarse.shape[2], 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(coarse.ravel(), middle.ravel())[0, 1] > 0.999


def test_voxels_fill_the_field_of_view() -> None:
    for axis, corner, extent in zip(voxel_positions((4.0, 4.0, 4.0)), FIELD_CORNER, (384, 320, 256), strict=True):
        assert (axis[0], axis[-1]) == (corner + 2, corner + extent - 2)


def test_an_organ_cut_in_two_makes_up_for_the_lost_piece(straight_space: Space) -> None:
    canvas = Canvas(straight_space)
    canvas.tissue[:] = Tissue.VISCERAL_FAT
    canvas.tissue[(straight_space.points[2] > 10) & (straight_space.points[2] < 14)] = Tissue.VEIN
    canvas.paint_organ(ellipsoid(straight_space, (0, 0, 0), (20, 20, 30)), Tissue.PANCREAS, 40.0, 2.0)
    organ = canvas.tissue == Tissue.PANCREAS
    assert organ.sum() * 8 / 1000 == pytest.approx(40.0, rel=0.03)
    assert straight_space.points[2][organ].max() <= 10
