"""Warnings of readers reach the thread that reads, and no other."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest

from aunet.classes import Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.doctor.examination import examine_case
from aunet.doctor.remarks import readers_kept_quiet, remarks_heard

LOGGER = logging.getLogger("aunet.data.io.volume")


def test_each_thread_hears_its_own() -> None:
    def read(number: int) -> list[str]:
        with remarks_heard() as remarks:
            LOGGER.warning("tilt of %d degrees", number)
        return remarks

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(read, range(20))) == [[f"tilt of {number} degrees"] for number in range(20)]


def test_nothing_is_shown_meanwhile_and_all_is_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    with readers_kept_quiet():
        LOGGER.warning("hidden")
    LOGGER.warning("shown")
    assert [record.getMessage() for record in caplog.records] == ["shown"]


def test_a_remark_of_the_reader_appears_with_its_case(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.float32).reshape(3, 4, 5), None)
    image.to_filename(path)
    nibabel.Nifti1Image(np.ones((3, 4, 5), np.uint8), None).to_filename(tmp_path / "label.nii.gz")
    case = Case("one", (path,), tmp_path / "label.nii.gz")
    cohort = Cohort("c", (case,), Labels(("background", "ball")), {0: 0, 1: 1}, "mr", "one")
    findings = examine_case(case, cohort)[1]
    remarks = [finding.message for finding in findings if finding.kind.name == "remark of the reader"]
    assert any("scan.nii.gz: neither sform nor qform is set" in remark for remark in remarks)
