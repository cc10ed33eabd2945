"""Preprocessing is done once and kept under a key of content and settings."""

from pathlib import Path

import numpy as np
import pytest
from scans import ball_and_box, write_msd_task, write_nifti

from aunet.data.case_store import CaseStore
from aunet.data.msd import msd_cohort
from aunet.data.preprocessing import Preprocessing
from aunet.data.volume import read_label
from aunet.errors import UserError

SETTINGS = Preprocessing(spacing=None, modality="mr", window=(-160.0, 240.0))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_msd_task(tmp_path / "task", num_cases=2)


def store(task: Path, preprocessing: Preprocessing = SETTINGS) -> CaseStore:
    return CaseStore(task.parent / "store", msd_cohort(str(task)), preprocessing)


def prepared(task: Path, preprocessing: Preprocessing = SETTINGS) -> list[Path]:
    cases = store(task, preprocessing).prepare(msd_cohort(str(task)).cases)
    return [case.folder for case in cases]


def test_a_stored_case_is_the_preprocessed_one(task: Path) -> None:
    cohort = msd_cohort(str(task))
    case = store(task).prepare(cohort.cases)[0]
    expected = SETTINGS.label(read_label(cohort.cases[0].label)).array
    assert np.array_equal(case.label(), expected)
    assert case.image().shape == (1, *expected.shape)
    assert case.spacing == pytest.approx((1.0, 1.2, 1.5))


def test_positions_are_voxels_of_their_class(task: Path) -> None:
    case = store(task).prepare(msd_cohort(str(task)).cases)[0]
    for index in range(3):
        assert set(case.label()[tuple(case.positions(index).T)]) == {index}


def test_a_second_call_writes_nothing(task: Path) -> None:
    folders = prepared(task)
    before = [(folder / "case.json").stat().st_mtime_ns for folder in folders]
    assert prepared(task) == folders
    assert [(folder / "case.json").stat().st_mtime_ns for folder in folders] == before


def test_a_changed_image_or_setting_has_another_key(task: Path) -> None:
    folders = prepared(task)
    write_nifti(task / "imagesTr" / "ball_000.nii.gz", ball_and_box((20, 18, 16), 9)[0])
    changed = prepared(task)
    assert changed[0] != folders[0]
    assert changed[1] == folders[1]
    coarser = Preprocessing(spacing=(2.0, 2.0, 2.0), modality="mr", window=(-160.0, 240.0))
    assert not set(prepared(task, coarser)) & set(changed)


def test_an_unknown_label_value_is_refused_with_the_case_and_the_remedy(task: Path) -> None:
    _image, label = ball_and_box((20, 18, 16), 0)
    write_nifti(task / "labelsTr" / "ball_000.nii.gz", label * 100)
    with pytest.raises(UserError, match=r"ball_000 has label values 100, 200.*other_labels=background"):
        prepared(task)


def test_a_label_on_another_grid_is_refused(task: Path) -> None:
    write_nifti(task / "labelsTr" / "ball_001.nii.gz", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(UserError, match="ball_001"):
        prepared(task)


def test_a_truncated_image_is_refused_and_leaves_no_half_case(task: Path) -> None:
    image = task / "imagesTr" / "ball_001.nii.gz"
    image.write_bytes(image.read_bytes()[:500])
    with pytest.raises(UserError, match=r"ball_001\.nii\.gz"):
        prepared(task)
    assert not list((task.parent / "store").glob("*ball_001*"))
