"""A scan as a network sees it: orientation by nibabel, resampling and intensities by closed forms."""

import itertools
import json

import nibabel
import numpy as np
import pytest
from monai.data.meta_tensor import MetaTensor
from monai.transforms.spatial.array import Orientation

from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from tests.data.geometries import GEOMETRIES, affine_of, positions_mm

MR = Preprocessing(None, "mr", (-160.0, 240.0))
MR_2MM = Preprocessing((2.0, 2.0, 2.0), "mr", (-160.0, 240.0))
CT = Preprocessing(None, "ct", (-160.0, 240.0))
SHAPE = (24, 18, 12)
PARALLEL = pytest.mark.parametrize("affine", GEOMETRIES.values(), ids=GEOMETRIES)


def random_volume(affine: np.ndarray, seed: int = 0) -> Volume:
    return Volume(np.random.default_rng(seed).normal(100, 30, SHAPE).astype(np.float32), affine)


def ball(affine: np.ndarray, radius: float) -> Volume:
    """Return a ball of class 1 in a shell of class 2 around the middle of the volume."""
    positions = positions_mm(SHAPE, affine)
    distance = np.linalg.norm(positions - positions.mean(axis=(1, 2, 3), keepdims=True), axis=0)
    return Volume(((distance < radius).astype(int) + (distance < 0.6 * radius)).astype(np.uint8), affine)


@PARALLEL
def test_the_orientation_is_the_nearest_to_ras_and_every_value_keeps_its_place(affine: np.ndarray) -> None:
    volume = random_volume(affine)
    prepared = MR.image([volume])
    reoriented = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.array, affine))
    expected = reoriented.get_fdata()
    assert np.allclose(prepared.affine, reoriented.affine, atol=1e-9)
    assert np.allclose(prepared.array[0], (expected - expected.mean()) / expected.std(), atol=1e-4)


def test_every_orientation_becomes_that_of_monai_bit_for_bit() -> None:
    orient = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))
    for axes in itertools.permutations(("RL", "AP", "SI")):
        for letters in itertools.product(*axes):
            affine = affine_of("".join(letters), (0.7, 1.1, 3.0), angle=0.3)
            volume = Volume(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), affine)
            prepared = MR.label(volume)
            expected = orient(MetaTensor(volume.array[None], affine=affine))
            assert np.array_equal(prepared.array, expected.numpy()[0])
            assert np.array_equal(prepared.affine, expected.affine.numpy())


@PARALLEL
def test_the_label_lies_on_the_grid_of_the_image(affine: np.ndarray) -> None:
    image, label = MR_2MM.image([random_volume(affine)]), MR_2MM.label(ball(affine, 8))
    assert label.array.shape == image.array.shape[1:]
    assert np.array_equal(label.affine, image.affine)
    assert label.array.dtype == np.uint8


@PARALLEL
def test_a_resampled_organ_keeps_its_volume_and_its_middle(affine: np.ndarray) -> None:
    volume = ball(affine, 7)
    label = Preprocessing((1.0, 1.0, 1.0), "mr", (0, 1)).label(volume)
    for index in (1, 2):
        before, after = (
            abs(np.linalg.det(grid.affine[:3, :3])) * (grid.array == index).sum() for grid in (volume, label)
        )
        assert after == pytest.approx(before, rel=0.2)
    middle, after = (
        positions_mm(grid.array.shape, grid.affine)[:, grid.array > 0].mean(axis=1) for grid in (volume, label)
    )
    assert np.allclose(middle, after, atol=0.5)


def test_a_plate_one_voxel_thin_keeps_its_volume_as_a_checkerboard_when_the_spacing_doubles() -> None:
    label = np.zeros((16, 16, 16), np.uint8)
    label[:, 7, :] = 3
    halved = MR_2MM.label(Volume(label, np.eye(4))).array
    assert halved.shape == (8, 8, 8)
    assert (halved[:, 3, :] == 3).sum() == 32
    for first, second in np.ndindex(4, 4):  # each square of two by two
        square = halved[2 * first : 2 * first + 2, 3, 2 * second : 2 * second + 2]
        assert square.ravel().tolist() in ([3, 0, 0, 3], [0, 3, 3, 0])
    assert (np.delete(halved, 3, axis=1) == 0).all()


def test_runs_of_earlier_versions_keep_their_ties_in_the_foreground() -> None:
    label = np.zeros((16, 16, 16), np.uint8)
    label[:, 7, :] = 3
    halved = Preprocessing((2.0, 2.0, 2.0), "mr", (0, 1), "linear").label(Volume(label, np.eye(4))).array
    assert (halved[:, 3, :] == 3).all()


def test_resampling_a_label_map_invents_no_class_between_two_others() -> None:
    label = np.zeros((16, 16, 16), np.uint8)
    label[8:] = 4
    assert set(np.unique(Preprocessing((0.7, 0.7, 0.7), "mr", (0, 1)).label(Volume(label, np.eye(4))).array)) == {0, 4}


def test_ct_is_clipped_to_its_window_and_standardised() -> None:
    hounsfield = np.array([-1000, -160, 0, 240, 3000, 40], np.float32).reshape(1, 2, 3)
    clipped = np.array([-160, -160, 0, 240, 240, 40], np.float64).reshape(1, 2, 3)
    prepared = CT.image([Volume(hounsfield, np.eye(4))]).array[0]
    assert np.allclose(prepared, (clipped - clipped.mean()) / clipped.std(), atol=1e-5)


def test_mr_is_standardised_by_its_voxels_that_are_not_zero() -> None:
    volume = random_volume(np.eye(4))
    brain = volume.array[6:18, 5:12, 3:10].astype(np.float64)
    extracted = np.zeros(SHAPE, np.float32)
    extracted[6:18, 5:12, 3:10] = brain
    prepared = MR.image([Volume(extracted, np.eye(4))]).array[0]
    assert np.allclose(prepared[6:18, 5:12, 3:10], (brain - brain.mean()) / brain.std(), atol=1e-4)
    assert prepared[0, 0, 0] == pytest.approx(-brain.mean() / brain.std(), rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 7.0])
@pytest.mark.parametrize("preprocessing", [MR, CT], ids=["mr", "ct"])
def test_a_constant_image_becomes_zero(preprocessing: Preprocessing, value: float) -> None:
    assert not preprocessing.image([Volume(np.full((4, 4, 4), value, np.float32), np.eye(4))]).array.any()


def test_each_channel_is_standardised_for_itself() -> None:
    first, second = random_volume(np.eye(4), 1), random_volume(np.eye(4), 2)
    together = MR.image([first, Volume(100 * second.array, np.eye(4))]).array
    assert together.shape == (2, *SHAPE)
    assert np.allclose(together[1], MR.image([second]).array[0], atol=1e-5)


def test_channels_on_different_grids_are_refused() -> None:
    with pytest.raises(UserError, match="one voxel grid"):
        MR.image([random_volume(np.eye(4)), random_volume(np.diag([2.0, 1, 1, 1]))])


@pytest.mark.parametrize("preprocessing", [MR, MR_2MM, CT], ids=["mr", "mr at 2 mm", "ct"])
def test_the_same_scan_gives_the_same_bytes_and_is_left_as_it_was(preprocessing: Preprocessing) -> None:
    volume = random_volume(GEOMETRIES["oblique"])
    before = volume.array.copy()
    first, second = (preprocessing.image([volume]).array for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert first.dtype == np.float32
    assert first.flags.c_contiguous
    assert np.array_equal(volume.array, before)


def test_settings_are_json_and_differ_where_the_result_does() -> None:
    linear = Preprocessing((2.0, 2.0, 2.0), "mr", (-160.0, 240.0), "linear")
    several = [MR, MR_2MM, linear, CT, Preprocessing(None, "ct", (-100.0, 240.0))]
    texts = {json.dumps(preprocessing.settings(), sort_keys=True) for preprocessing in several}
    assert len(texts) == len(several)
    assert Preprocessing((2, 2, 2), "mr", (-160, 240)).settings() == MR_2MM.settings()


def test_a_scan_stored_from_posterior_to_anterior_is_turned_round() -> None:
    """Twin of the real slab below: the table, bright, lies at the first rows and must end posterior."""
    array = np.zeros((20, 20, 4), np.float32)
    array[:, 2] = 100
    stored = Volume(array[:, ::-1].copy(), affine_of("LPS", (0.6, 0.6, 5.0)))
    table = MR.image([stored]).array[0].mean(axis=(0, 2)).argmax()
    assert table == 2
