"""Real scans go to the network's grid and back; generated twins are in test_native_space and test_preprocessing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aunet.data.io.volume import Volume, check_same_grid, read_label, read_volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.native_space import restore_label_map

pytestmark = pytest.mark.realdata

FILES = {
    "amos slab, rows from posterior to anterior": (
        "abdomen_ct/amos_0001_ct.nii.gz",
        "abdomen_ct/amos_0001_label.nii.gz",
    ),
    "totalsegmentator ct": ("abdomen_ct/totalsegmentator_ct.nii.gz", "abdomen_ct/totalsegmentator_label.nii.gz"),
    "hippocampus": (
        "Task04_Hippocampus/imagesTr/hippocampus_003.nii.gz",
        "Task04_Hippocampus/labelsTr/hippocampus_003.nii.gz",
    ),
}
REAL = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def scan(name: str, shared_data: Path) -> tuple[Volume, Volume]:
    """Image and label of the real scan ``name``."""
    if not shared_data.is_dir():
        pytest.skip(f"no real scans: {shared_data} is not there")
    image_file, label_file = FILES[name]
    return read_volume(shared_data / image_file), read_label(shared_data / label_file)


def round_trip(label: Volume, spacing: tuple[float, ...] | None) -> np.ndarray:
    """Resample the label map to the network's grid and back, with logits as certain as a label."""
    values, places = np.unique(label.array, return_inverse=True)
    classes = places.reshape(label.shape).astype(np.uint8)
    prepared = Preprocessing(spacing, "ct", (-160.0, 240.0)).label(Volume(classes, label.affine))
    logits = F.one_hot(torch.from_numpy(prepared.array).long(), len(values)).movedim(-1, 0)
    return values[restore_label_map(logits, prepared.affine, label.shape, label.affine)]


@REAL
def test_image_and_label_are_found_to_lie_on_one_grid(scan: tuple[Volume, Volume]) -> None:
    check_same_grid(*scan, "case")


@REAL
def test_every_label_returns_exactly_where_the_spacing_was_kept(scan: tuple[Volume, Volume]) -> None:
    assert np.array_equal(round_trip(scan[1], None), scan[1].array)


@REAL
def test_organs_return_from_half_the_voxel_size(scan: tuple[Volume, Volume]) -> None:
    half = tuple(side / 2 for side in scan[1].spacing)
    organ = 10 if scan[1].array.shape[0] == 768 else 1  # pancreas of AMOS, spleen, anterior hippocampus
    label = Volume((scan[1].array == organ).astype(np.uint8), scan[1].affine)
    restored = round_trip(label, half)
    assert 2 * (restored & label.array).sum() / (restored.sum() + label.array.sum()) >= 0.99


@pytest.mark.parametrize(
    ("name", "spleen", "liver"),
    [("amos slab, rows from posterior to anterior", 1, 6), ("totalsegmentator ct", 1, 5)],
)
@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.0)])
def test_the_liver_is_on_the_right_and_bone_lies_posterior(
    scan: tuple[Volume, Volume], spleen: int, liver: int, spacing: tuple[float, ...] | None
) -> None:
    image, label = scan
    preprocessing = Preprocessing(spacing, "ct", (-200.0, 500.0))
    prepared, organs = preprocessing.image([image]).array[0], preprocessing.label(label).array
    bone, body = (prepared > np.quantile(prepared, share) for share in (0.995, 0.5))
    if spleen in organs:
        assert np.nonzero(organs == liver)[0].mean() > np.nonzero(organs == spleen)[0].mean()
    assert np.nonzero(bone)[1].mean() < np.nonzero(body)[1].mean()
