"""Where augmented patches lie, judged by SciPy's interpolation and by what was read around them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.patches.geometry import PatchGeometry
from aunet.data.patches.random_geometry import RandomGeometry

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


@pytest.mark.parametrize("random_geometry", [EVERYTHING, FLAT], ids=["3D", "flat"])
def test_the_place_of_a_voxel_is_where_it_is_shown_and_leads_back_to_it(random_geometry: RandomGeometry) -> None:
    draw = np.random.default_rng(0)
    for sample in range(20):
        geometry = random_geometry.draw(0, 0, sample)
        places = geometry._places(torch.device("cpu")).numpy() + geometry.box[0]
        voxel = [int(draw.integers(length)) for length in geometry.size]
        np.testing.assert_allclose(geometry.place_of(voxel), places[tuple(voxel)], atol=1e-4)
        np.testing.assert_allclose(geometry.voxel_at(geometry.place_of(voxel)), voxel, atol=0.1)
        plain = PatchGeometry(geometry.size, geometry.matrix, geometry.shift)
        np.testing.assert_allclose(plain.voxel_at(plain.place_of(voxel)), voxel, atol=1e-9)


def test_a_moved_geometry_shows_what_lies_as_far_on() -> None:
    geometry = EVERYTHING.draw(0, 0, 0)
    moved = geometry.moved((0.5, -1.25, 2.0))
    np.testing.assert_allclose(moved.place_of((3, 4, 5)) - geometry.place_of((3, 4, 5)), (0.5, -1.25, 2.0))
