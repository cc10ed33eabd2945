"""The disk space that prepared cases need is reported before the disk is full."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from abdomens import CLASSES, abdomens, write_abdomens
from scans import write_folder_pair

from aunet.data.sources.folder import folder_cohort
from aunet.data.store_room import load_of
from aunet.doctor.cohort_checks import check_disk, needed_bytes
from aunet.doctor.examination import examine_cohort
from aunet.doctor.finding import SAME_LABEL

Usage = namedtuple("Usage", "total used free")


def test_the_need_is_that_of_the_store(tmp_path: Path) -> None:
    cohort = folder_cohort(str(write_abdomens(tmp_path, abdomens(2))), "images", "labels", "ct", CLASSES)
    spacing = (2.0, 4.0, 8.0)
    expected = sum(load_of(case, spacing, 3).stored_bytes for case in cohort.cases)
    assert needed_bytes(examine_cohort(cohort).facts, spacing, 3) == pytest.approx(expected)


@pytest.mark.parametrize("number", [1, 3])
def test_leaks_through_shared_files_a_label_map_of_another_case_is_a_finding(number: int, tmp_path: Path) -> None:
    root = write_folder_pair(tmp_path)
    shutil.copy(root / "labels" / "case_0.nii.gz", root / "labels" / f"case_{number}.nii.gz")
    examination = examine_cohort(folder_cohort(str(root), "images", "labels", "ct", {"ball": 1, "box": 2}))
    found = [finding for finding in examination.findings if finding.kind is SAME_LABEL]
    assert [(finding.case_id, finding.message) for finding in found] == [
        (f"case_{number}", "voxel for voxel the label of case_0")
    ]


@pytest.mark.parametrize(("free", "num_findings"), [(2_000_000_000, 0), (900_000_000, 1)])
def test_too_little_room_is_reported_also_for_a_folder_that_is_not_there_yet(
    free: int, num_findings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free))
    findings = list(check_disk(1e9, tmp_path / "not" / "there"))
    assert len(findings) == num_findings
    assert all("1.0 GB" in finding.message and "0.9 GB free" in finding.message for finding in findings)
    assert not list(tmp_path.iterdir())
