"""A folder a case, a mask an organ."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scans import AFFINE, write_nifti, write_totalsegmentator_cases

from aunet.data.cohort.case import Cohort
from aunet.data.cohort.references import read_reference
from aunet.data.sources.totalsegmentator import totalsegmentator_cohort
from aunet.errors import UserError

CLASSES = {"pancreas": "pancreas", "spleen": "spleen", "kidney": ["kidney_right", "kidney_left"]}


def cohort_of(root: Path, **changes: object) -> Cohort:
    return totalsegmentator_cohort(str(root), **({"classes": CLASSES, "other_labels": "background"} | changes))  # pyright: ignore[reportArgumentType]


def mask(root: Path, case_id: str, organ: str) -> np.ndarray:
    return np.asanyarray(nibabel.load(root / case_id / "segmentations" / f"{organ}.nii.gz").dataobj) != 0


def test_masks_become_one_label_map_of_the_named_classes(tmp_path: Path) -> None:
    cohort = cohort_of(write_totalsegmentator_cases(tmp_path))
    case = cohort.cases[1]
    label = read_reference(case, cohort)
    assert case.case_id == "s0001"
    assert np.array_equal(label.array == 1, mask(tmp_path, "s0001", "pancreas"))
    assert np.array_equal(label.array == 2, mask(tmp_path, "s0001", "spleen"))
    kidneys = mask(tmp_path, "s0001", "kidney_left") | mask(tmp_path, "s0001", "kidney_right")
    assert kidneys.any()
    assert np.array_equal(label.array == 3, kidneys)
    np.testing.assert_allclose(label.affine, AFFINE, atol=1e-6)


def test_masks_of_no_class_are_never_opened(tmp_path: Path) -> None:
    write_totalsegmentator_cases(tmp_path)
    assert not any(path.name.startswith("aorta") for case in cohort_of(tmp_path).cases for path in case.files)


def test_a_case_without_one_kidney_does_not_annotate_kidneys(tmp_path: Path) -> None:
    (write_totalsegmentator_cases(tmp_path) / "s0002" / "segmentations" / "kidney_left.nii.gz").unlink()
    cohort = cohort_of(tmp_path)
    assert [case.annotated for case in cohort.cases] == [None, None, frozenset({0, 1, 2}), None]
    assert set(np.unique(read_reference(cohort.cases[2], cohort).array)) == {0, 1, 2}


def test_a_mask_of_255_is_a_mask(tmp_path: Path) -> None:
    write_totalsegmentator_cases(tmp_path)
    spleen = mask(tmp_path, "s0000", "spleen")
    write_nifti(tmp_path / "s0000" / "segmentations" / "spleen.nii.gz", (spleen * 255).astype(np.uint8))
    cohort = cohort_of(tmp_path)
    assert np.array_equal(read_reference(cohort.cases[0], cohort).array == 2, spleen)


def test_a_label_map_in_the_place_of_a_mask_is_refused(tmp_path: Path) -> None:
    write_totalsegmentator_cases(tmp_path)
    write_nifti(
        tmp_path / "s0000" / "segmentations" / "spleen.nii.gz", np.arange(5760, dtype=np.int16).reshape(20, 18, 16)
    )
    cohort = cohort_of(tmp_path)
    with pytest.raises(UserError, match=r"spleen.nii.gz: the mask of case s0000 holds the values 0, 1, 2"):
        read_reference(cohort.cases[0], cohort)


def test_masks_of_two_grids_are_refused(tmp_path: Path) -> None:
    write_totalsegmentator_cases(tmp_path)
    write_nifti(tmp_path / "s0000" / "segmentations" / "spleen.nii.gz", np.zeros((20, 18, 15), np.uint8))
    cohort = cohort_of(tmp_path)
    with pytest.raises(UserError, match=r"case s0000: .*has shape"):
        read_reference(cohort.cases[0], cohort)


def test_masks_that_overlap_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_totalsegmentator_cases(tmp_path)
    everywhere = np.ones((20, 18, 16), np.uint8)
    write_nifti(tmp_path / "s0000" / "segmentations" / "spleen.nii.gz", everywhere)
    cohort = cohort_of(tmp_path)
    assert (read_reference(cohort.cases[0], cohort).array == 2).all()
    assert "voxels lie in two masks" in caplog.text


def test_a_folder_without_such_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no case found"):
        cohort_of(tmp_path)
    write_nifti(tmp_path / "s0000" / "ct.nii.gz", np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match=r"no label 'pancreas'"):
        cohort_of(tmp_path)


def test_a_case_without_masks_is_named_and_the_others_stay_usable(tmp_path: Path) -> None:
    write_nifti(write_totalsegmentator_cases(tmp_path) / "s0009" / "ct.nii.gz", np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match="case s0009 has no such folder of masks"):
        cohort_of(tmp_path)
    assert len(cohort_of(tmp_path, on_error="skip").cases) == 4
