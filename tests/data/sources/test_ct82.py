"""NIH Pancreas-CT as it unpacks, and labels that run another way than their scans."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pancreas_scans import AFFINE, SHAPE, body_with_pancreas, label_file, write_pancreas_ct
from scans import write_nifti

from aunet.data.cohort.case import Cohort
from aunet.data.io.volume import Volume, check_same_grid, read_label, read_volume
from aunet.data.sources.ct82 import ct82_cohort
from aunet.data.sources.ct82_labels import fitting_flip
from aunet.errors import UserError

FLIPS = [tuple(axis for axis in range(3) if flags[axis]) for flags in product((False, True), repeat=3)]


def cohort_at(root: Path, **changes: str) -> Cohort:
    return ct82_cohort(str(root), **({"cache": str(root / "cache")} | changes))


def test_scans_and_labels_are_matched_by_patient_and_lie_on_one_grid(tmp_path: Path) -> None:
    cohort = cohort_at(write_pancreas_ct(tmp_path, [1, 2, 71], flips={2: (1,), 71: (1, 2)}))
    assert cohort.labels.names == ("background", "pancreas")
    assert [case.case_id for case in cohort.cases] == ["PANCREAS_0001", "PANCREAS_0002", "PANCREAS_0071"]
    for case, number in zip(cohort.cases, (1, 2, 71), strict=True):
        assert case.label is not None
        image, label = read_volume(case.images[0]), read_label(case.label)
        check_same_grid(image, label, case.case_id)
        expected_image, expected_label = body_with_pancreas(number)
        assert np.array_equal(image.array, expected_image)
        assert np.array_equal(label.array, expected_label)


@pytest.mark.parametrize("flip", FLIPS)
def test_the_flip_of_a_label_is_found_whichever_it_is(flip: tuple[int, ...]) -> None:
    image, label = body_with_pancreas(0)
    flipped = Volume(np.flip(label, flip), np.eye(4))
    assert fitting_flip(Volume(image.astype(np.float32), AFFINE), flipped, "case") == flip


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "pancreas"), [("amos_0001", 10), ("totalsegmentator", 7)])
def test_the_flip_of_a_real_label_is_found_whichever_it_is(name: str, pancreas: int, shared_data: Path) -> None:
    if not shared_data.is_dir():
        pytest.skip(f"no real scans: {shared_data} is not there")
    image = read_volume(shared_data / "abdomen_ct" / f"{name}_ct.nii.gz")
    label = read_label(shared_data / "abdomen_ct" / f"{name}_label.nii.gz").array == pancreas
    for flip in FLIPS:
        assert fitting_flip(image, Volume(np.flip(label, flip), np.eye(4)), name) == flip


def test_a_label_that_fits_in_no_way_is_refused_with_the_case(tmp_path: Path) -> None:
    root = write_pancreas_ct(tmp_path, [1])
    write_nifti(label_file(root, 1), np.roll(body_with_pancreas(1)[1], (9, 8, -3), axis=(0, 1, 2)))
    with pytest.raises(UserError, match=r"case PANCREAS_0001: .*label0001\.nii\.gz does not clearly fit"):
        cohort_at(root)


def test_a_label_that_fits_in_two_ways_is_refused() -> None:
    image, label = body_with_pancreas(0)
    both = Volume(np.maximum(image, np.flip(image, 2)).astype(np.float32), AFFINE)
    with pytest.raises(UserError, match="does not clearly fit"):
        fitting_flip(both, Volume(label, np.eye(4)), "case")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.zeros(SHAPE, np.uint8), "marks no voxel"),
        (np.ones((28, 24, 19), np.uint8), r"\(28, 24, 20\).*\(28, 24, 19\)"),
        (np.full(SHAPE, 0.5, np.float32), "whole numbers"),
    ],
)
def test_a_faulty_label_is_refused_or_left_out(
    label: np.ndarray, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_pancreas_ct(tmp_path, [1, 2])
    write_nifti(label_file(root, 2), label)
    with pytest.raises(UserError, match=message):
        cohort_at(root)
    assert [case.case_id for case in cohort_at(root, on_error="skip").cases] == ["PANCREAS_0001"]
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("Skipped, as data.on_error=skip")
    assert "0002" in line


def test_a_placed_label_is_made_once_and_again_when_the_label_changes(tmp_path: Path) -> None:
    root = write_pancreas_ct(tmp_path, [1])
    [first] = [case.label for case in cohort_at(root).cases]
    assert first is not None
    written = first.stat().st_mtime_ns
    assert [case.label for case in cohort_at(root).cases] == [first]
    assert first.stat().st_mtime_ns == written
    write_pancreas_ct(tmp_path, [1], flips={1: (0,)})
    [second] = [case.label for case in cohort_at(root).cases]
    assert second is not None
    assert second != first
    assert np.array_equal(read_label(second).array, read_label(first).array)


def test_a_label_without_its_scan_is_left_out_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_pancreas_ct(tmp_path, [1, 2])
    label_file(root, 25).write_bytes(label_file(root, 1).read_bytes())
    with caplog.at_level("INFO"):
        assert len(cohort_at(root).cases) == 2
    assert "labels without a scan are left out: 0025" in caplog.text


def test_scans_converted_to_nifti_serve_as_well(tmp_path: Path) -> None:
    image, label = body_with_pancreas(3)
    write_nifti(tmp_path / "data" / "PANCREAS_0003.nii.gz", image, AFFINE)
    write_nifti(label_file(tmp_path, 3), np.flip(label, 1), np.eye(4))
    [case] = cohort_at(tmp_path).cases
    assert case.label is not None
    assert np.array_equal(read_label(case.label).array, label)


def test_a_scan_without_label_is_named(tmp_path: Path) -> None:
    root = write_pancreas_ct(tmp_path, [1, 2])
    label_file(root, 2).unlink()
    with pytest.raises(UserError, match=r"PANCREAS_0002 has no label0002\.nii\.gz"):
        cohort_at(root)


def test_a_scan_filed_under_another_patient_is_named(tmp_path: Path) -> None:
    root = write_pancreas_ct(tmp_path, [1, 2])
    (root / "Pancreas-CT" / "PANCREAS_0001").rename(root / "Pancreas-CT" / "PANCREAS_0009")
    label_file(root, 1).rename(label_file(root, 9))
    with pytest.raises(UserError, match="PatientID is PANCREAS_0001, its folder is PANCREAS_0009"):
        cohort_at(root)


def test_a_series_with_a_missing_slice_leaves_the_other_patients_usable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_pancreas_ct(tmp_path, [1, 2])
    sorted((root / "Pancreas-CT" / "PANCREAS_0002").rglob("*.dcm"))[4].unlink()
    with pytest.raises(UserError, match=r"PANCREAS_0002: slices are missing at"):
        cohort_at(root)
    assert [case.case_id for case in cohort_at(root, on_error="skip").cases] == ["PANCREAS_0001"]
    assert "slices are missing" in caplog.text


def test_none_of_the_cases_being_usable_is_reported(tmp_path: Path) -> None:
    root = write_pancreas_ct(tmp_path, [1])
    label_file(root, 1).write_bytes(b"")
    with pytest.raises(UserError, match="None of the 1 cases can be used"):
        cohort_at(root, on_error="skip")


def test_a_patient_who_is_there_twice_is_named(tmp_path: Path) -> None:
    root = write_pancreas_ct(tmp_path, [1])
    write_pancreas_ct(tmp_path / "again", [1])
    with pytest.raises(UserError, match="patient 0001 has two scans"):
        cohort_at(root)


@pytest.mark.parametrize(("root", "message"), [(None, r"data\.root is not set"), ("", "no scan of NIH Pancreas-CT")])
def test_a_root_without_the_dataset_is_refused_with_the_layout(root: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"(?s){message}.*TCIA_pancreas_labels-02-05-2017/label0001"):
        ct82_cohort(None if root is None else str(tmp_path), str(tmp_path))
