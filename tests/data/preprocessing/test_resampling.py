"""Resampling between parallel grids, judged by closed forms and by MONAI's general resampler."""

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.spatial.array import SpatialResample
from torch.nn import functional as F

from aunet.data.preprocessing import resampling
from aunet.data.preprocessing.resampling import GridMapping, respaced_grid
from tests.data.geometries import GEOMETRIES, affine_of, positions_mm

SHAPE = (11, 9, 7)
PARALLEL = pytest.mark.parametrize("affine", GEOMETRIES.values(), ids=GEOMETRIES)


@PARALLEL
@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (0.5, 0.6, 0.7), (4.0, 4.0, 4.0)])
def test_a_respaced_grid_covers_the_field_of_view_around_its_centre(affine: np.ndarray, spacing: tuple) -> None:
    shape, grid_affine = respaced_grid(SHAPE, affine, spacing)
    assert np.allclose(np.linalg.norm(grid_affine[:3, :3], axis=0), spacing)
    directions, grid_directions = (a[:3, :3] / np.linalg.norm(a[:3, :3], axis=0) for a in (affine, grid_affine))
    assert np.allclose(directions, grid_directions)
    centre, grid_centre = (positions_mm(s, a).mean(axis=(1, 2, 3)) for s, a in ((SHAPE, affine), (shape, grid_affine)))
    assert np.allclose(centre, grid_centre)
    extent = np.array(SHAPE) * np.linalg.norm(affine[:3, :3], axis=0)
    grid_extent = np.array(shape) * spacing
    assert (grid_extent >= extent - 0.01).all()
    assert (grid_extent - extent < spacing).all()


@PARALLEL
def test_a_spacing_that_is_right_within_rounding_keeps_the_grid(affine: np.ndarray) -> None:
    spacing = np.linalg.norm(affine[:3, :3], axis=0) * 1.0005
    shape, grid_affine = respaced_grid(SHAPE, affine, spacing)
    assert shape == SHAPE
    assert np.array_equal(grid_affine, affine)


def test_an_axis_of_one_voxel_keeps_one() -> None:
    shape, _ = respaced_grid((4, 4, 1), affine_of("RAS", (1, 1, 2)), (2, 2, 5))
    assert shape == (2, 2, 1)


@PARALLEL
def test_a_linear_function_of_space_is_reproduced_exactly(affine: np.ndarray) -> None:
    weights = np.array([0.3, -0.7, 0.2])
    values = np.tensordot(weights, positions_mm(SHAPE, affine), axes=1)
    shape, grid_affine = respaced_grid(SHAPE, affine, (0.5, 0.6, 0.7))
    resampled = GridMapping(affine, shape, grid_affine).resample(torch.from_numpy(values)).numpy()
    expected = np.tensordot(weights, positions_mm(shape, grid_affine), axes=1)
    voxels = np.linalg.inv(affine)[:3] @ np.vstack(
        [positions_mm(shape, grid_affine).reshape(3, -1), np.ones(np.prod(shape))]
    )
    is_inside = ((voxels >= 0) & (voxels <= np.array(SHAPE)[:, None] - 1)).all(axis=0).reshape(shape)
    assert is_inside.mean() > 0.5
    assert np.allclose(resampled[is_inside], expected[is_inside], atol=1e-5)


@PARALLEL
@pytest.mark.parametrize("spacing", [(1.7, 1.7, 1.7), (0.6, 0.6, 0.6)])
def test_resampling_agrees_with_the_general_resampler_of_monai(affine: np.ndarray, spacing: tuple) -> None:
    image = torch.from_numpy(np.random.default_rng(0).normal(size=SHAPE))
    shape, grid_affine = respaced_grid(SHAPE, affine, spacing)
    ours = GridMapping(affine, shape, grid_affine, "linear").resample(image)
    resampler = SpatialResample(mode="bilinear", padding_mode="border", align_corners=True, dtype=torch.float64)
    volume = MetaTensor(image[None], affine=torch.from_numpy(affine))
    theirs = resampler(volume, dst_affine=torch.from_numpy(grid_affine), spatial_size=shape)
    assert torch.allclose(ours, theirs.as_tensor()[0].to(ours.dtype), atol=1e-5)


@PARALLEL
def test_a_permuted_and_flipped_grid_is_reached_and_left_without_a_changed_value(affine: np.ndarray) -> None:
    image = torch.rand(SHAPE)
    reordered = affine @ np.array([[0, 0, -1, 10], [1, 0, 0, 0], [0, -1, 0, 6], [0, 0, 0, 1.0]])
    there = GridMapping(affine, (9, 7, 11), reordered)
    assert there.is_reordering
    assert torch.equal(there.resample(image), image.flip(0, 2).permute(1, 2, 0))
    assert torch.equal(GridMapping(reordered, SHAPE, affine).resample(there.resample(image)), image)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_whole_number_of_voxels_is_averaged_as_torch_pools_them(factor: int) -> None:
    image = torch.randn((12, 24, 36), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shape, affine = respaced_grid(image.shape, np.eye(4), (factor, factor, 1.0))
    expected = F.adaptive_avg_pool3d(image[None], shape)[0]
    assert torch.allclose(GridMapping(np.eye(4), shape, affine).resample(image), expected, atol=1e-12)


@pytest.mark.parametrize("spacing", [1.3, 2.5, 3.7])
def test_a_coarser_voxel_holds_the_mean_of_what_it_covers(spacing: float) -> None:
    """Brute force: each voxel of the source cut into 1000 parts."""
    values = np.random.default_rng(0).normal(size=30)
    [length, *_], affine = respaced_grid((30, 1, 1), np.eye(4), (spacing, 1.0, 1.0))
    ours = GridMapping(np.eye(4), (length, 1, 1), affine).resample(torch.from_numpy(values).reshape(30, 1, 1))
    parts = (np.arange(30_000) + 0.5) / 1000 - 0.5  # their place in voxels of the source
    number = np.floor((parts - affine[0, 3]) / spacing + 0.5).astype(int)
    expected = np.bincount(number, np.repeat(values, 1000), length) / np.bincount(number, minlength=length)
    assert np.allclose(ours.numpy().ravel(), expected, atol=5e-3)


@pytest.mark.parametrize("cycles", [0.5, 0.4, 0.35])
def test_a_wave_too_fine_for_the_target_is_damped_and_does_not_alias(cycles: float) -> None:
    """A box of 2.5 voxels passes sin(pi f w) / (pi f w) of a wave of f cycles a voxel; one point passes all of it."""
    wave = torch.sin(2 * np.pi * cycles * torch.arange(400.0, dtype=torch.float64) + 1.0).reshape(400, 1, 1)
    shape, affine = respaced_grid(wave.shape, np.eye(4), (2.5, 1.0, 1.0))
    power = {
        method: float(GridMapping(np.eye(4), shape, affine, method).resample(wave).square().mean().sqrt())
        for method in ("area", "linear")
    }
    passed = abs(np.sinc(cycles * 2.5)) * float(wave.square().mean().sqrt())
    assert power["area"] < passed + 0.15
    assert power["area"] < 0.6 * power["linear"]


def test_averaging_goes_over_into_interpolation_as_the_voxels_become_equal() -> None:
    image = torch.randn((40, 3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    affine = np.diag([1.002, 1, 1, 1])
    affine[0, 3] = 0.3
    area, linear = (GridMapping(np.eye(4), (35, 3, 3), affine, method).resample(image) for method in ("area", "linear"))
    assert torch.allclose(area, linear, atol=0.01)


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (0.5, 2.0, 1.0), (3.1, 0.7, 2.3)])
def test_slabs_of_any_thickness_return_the_same_values(
    spacing: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=SHAPE))
    mapping = GridMapping(np.eye(4), *respaced_grid(SHAPE, np.eye(4), spacing))
    whole = mapping.resample(values)
    for values_at_once in (1, 200):
        monkeypatch.setattr(resampling, "_VALUES_AT_ONCE", values_at_once)
        assert torch.equal(mapping.resample(values), whole)


def test_beyond_the_source_its_border_continues_in_coarser_voxels_too() -> None:
    image = torch.arange(1.0, 7.0).reshape(6, 1, 1)
    affine = np.diag([2.0, 1, 1, 1])
    affine[0, 3] = -4.5
    resampled = GridMapping(np.eye(4), (7, 1, 1), affine).resample(image).ravel()
    assert resampled.tolist() == [1.0, 1.0, 1.0, 2.5, 4.5, 6.0, 6.0]


def test_positions_beyond_half_a_voxel_from_the_border_lie_outside() -> None:
    source, target = np.eye(4), np.diag([0.5, 1, 1, 1])
    target[0, 3] = -1.0
    outside = GridMapping(source, (10, 3, 3), target).outside((3, 3, 3))
    assert outside[0].tolist() == [True] + [False] * 7 + [True] * 2
    assert not outside[1].any()


def test_grids_turned_against_each_other_are_a_programming_error() -> None:
    with pytest.raises(AssertionError, match="rotated"):
        GridMapping(np.eye(4), (5, 5, 5), affine_of("RAS", (1, 1, 1), angle=0.2))
