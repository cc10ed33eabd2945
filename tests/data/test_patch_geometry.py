"""Where augmented patches lie, judged by SciPy's interpolation and by what was read around them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.patch_geometry import PatchGeometry, RandomGeometry
from aunet.errors import UserError

SIZE = (12, 10, 8)
EVERYTHING = RandomGeometry(SIZE, 40.0, 0.4, 0.2, 1.0, 0.4, 1.0)
FLAT = RandomGeometry((12, 10, 1), 180.0, 0.4, 0.2, 1.0, 0.4, 1.0)


def places_of(geometry: PatchGeometry) -> NDArray[np.float64]:
    """(3, *size): where each voxel of the patch lies, by the definition, without the bend."""
    half = (np.array(geometry.size) - 1) / 2
    voxels = np.indices(geometry.size).reshape(3, -1).T - half
    return (half + voxels @ geometry.matrix.T + geometry.shift).T.reshape(3, *geometry.size)


def read_box(volume: NDArray[np.float32], at: tuple[int, ...], geometry: PatchGeometry) -> torch.Tensor:
    offset, size = geometry.box
    cut = tuple(slice(a + o, a + o + s) for a, o, s in zip(at, offset, size, strict=True))
    return torch.from_numpy(np.ascontiguousarray(volume[cut]))[None]


@pytest.mark.parametrize("sample", range(6))
def test_a_patch_shows_what_scipy_interpolates_in_the_whole_volume(sample: int) -> None:
    volume = np.random.default_rng(0).normal(size=(50, 50, 50)).astype(np.float32)
    geometry, at = RandomGeometry(SIZE, 40.0, 0.4, 0.2, 1.0).draw(0, 1, sample), (20, 20, 20)
    expected = ndimage.map_coordinates(volume, places_of(geometry) + 20, order=1)
    patch = geometry.resample(read_box(volume, at, geometry), "bilinear")[0].numpy()
    np.testing.assert_allclose(patch, expected, atol=1e-4)


@pytest.mark.parametrize("random_geometry", [EVERYTHING, FLAT], ids=["3D", "flat"])
def test_the_box_holds_all_that_a_patch_shows_and_is_the_smallest_without_a_bend(
    random_geometry: RandomGeometry,
) -> None:
    for sample in range(40):
        geometry = random_geometry.draw(0, 0, sample)
        _, size = geometry.box
        place = geometry._places(torch.device("cpu")).numpy()
        assert place.min() > -1e-4
        assert (place.max(axis=(0, 1, 2)) < np.array(size) - 1 + 1e-4).all()
        plain = PatchGeometry(geometry.size, geometry.matrix, geometry.shift)
        shown = places_of(plain).reshape(3, -1)
        assert plain.box[0] == np.floor(shown.min(axis=1) + 1e-5).astype(int).tolist()
        assert np.add(*plain.box).tolist() == (np.ceil(shown.max(axis=1) - 1e-5) + 1).astype(int).tolist()


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("random_geometry", [EVERYTHING, FLAT], ids=["3D", "flat"])
def test_a_constant_image_stays_constant_to_its_corners(random_geometry: RandomGeometry, mode: str) -> None:
    for sample in range(10):
        geometry = random_geometry.draw(0, 0, sample)
        patch = geometry.resample(torch.full((2, *geometry.box[1]), 3.0), mode)
        assert patch.shape == (2, *random_geometry.patch_size)
        torch.testing.assert_close(patch, torch.full_like(patch, 3.0))


def test_a_patch_that_is_not_changed_is_read_and_given_as_it_is() -> None:
    geometry = RandomGeometry(SIZE, 40.0, 0.4, 0.2, probability=0.0).draw(0, 0, 0)
    assert geometry.box == ([0, 0, 0], list(SIZE))
    patch = torch.randn(1, *SIZE)
    assert geometry.resample(patch, "bilinear") is patch


def test_each_setting_changes_what_it_names_and_nothing_else() -> None:
    turned = RandomGeometry(SIZE, rotation=30.0, probability=1.0).draw(0, 0, 0)
    np.testing.assert_allclose(turned.matrix @ turned.matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turned.matrix) == pytest.approx(1)
    assert not turned.shift.any()
    scaled = RandomGeometry(SIZE, scale=0.3, probability=1.0).draw(0, 0, 0)
    factors = np.diag(scaled.matrix)
    assert np.array_equal(scaled.matrix, np.diag(factors))
    assert (np.abs(factors - 1) <= 0.3).all()
    shifted = RandomGeometry(SIZE, shift=0.2, probability=1.0).draw(0, 0, 0)
    assert np.array_equal(shifted.matrix, np.eye(3))
    assert (np.abs(shifted.shift) <= 0.2 * np.array(SIZE)).all()
    assert turned.bends is scaled.bends is shifted.bends is None


def test_turns_about_each_axis_reach_the_largest_angle_and_not_beyond() -> None:
    random_geometry = RandomGeometry(SIZE, rotation=20.0, probability=1.0)
    for axis in range(3):
        only = RandomGeometry(tuple(1 if other == axis else 9 for other in range(3)), rotation=20.0, probability=1.0)
        angles = [np.degrees(np.arccos(np.trace(only.draw(0, 0, k).matrix) / 2 - 0.5)) for k in range(200)]
        assert 18 < max(angles) <= 20
        assert all(only.draw(0, 0, k).matrix[axis, axis] == 1 for k in range(5))
    assert len({random_geometry.draw(0, 0, k).matrix.tobytes() for k in range(20)}) == 20


def test_a_bend_is_smooth_bounded_and_folds_nothing_over() -> None:
    random_geometry = RandomGeometry((33, 33, 33), elastic=0.4, elastic_probability=1.0)
    for sample in range(5):
        geometry = random_geometry.draw(0, 0, sample)
        places = geometry._places(torch.device("cpu")).double().numpy() + geometry.box[0]
        bend = places - np.moveaxis(np.indices((33, 33, 33)), 0, -1)
        assert 0.5 < np.abs(bend).max() <= 0.4 * 8
        steps = np.stack([np.gradient(places, axis=axis) for axis in range(3)], axis=-1)
        assert (np.linalg.det(steps) > 0).all()


def test_a_share_of_the_patches_is_changed() -> None:
    random_geometry = RandomGeometry(SIZE, 10.0, probability=0.75, elastic=0.2, elastic_probability=0.2)
    drawn = [random_geometry.draw(0, 0, sample) for sample in range(400)]
    assert np.mean([not np.array_equal(geometry.matrix, np.eye(3)) for geometry in drawn]) == pytest.approx(
        0.75, abs=0.07
    )
    assert np.mean([geometry.bends is not None for geometry in drawn]) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("setting", [{"scale": 1.0}, {"scale": -0.1}, {"elastic": 0.5}])
def test_settings_that_turn_a_patch_inside_out_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"data\.augmentation\.{next(iter(setting))}"):
        RandomGeometry(SIZE, **setting)
