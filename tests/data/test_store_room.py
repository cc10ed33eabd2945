"""How many cases are prepared at once follows the memory they need."""

import os
from pathlib import Path

import numpy as np
import pytest
from scans import write_nifti

from aunet.data.cohort.case import Case
from aunet.data.store_room import Load, load_of, num_threads


@pytest.fixture
def eight_cores_and_8_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 2**21, "SC_PAGE_SIZE": 2**12}.__getitem__)


@pytest.mark.usefixtures("eight_cores_and_8_gib")
def test_small_cases_take_every_core_and_large_ones_half_the_memory() -> None:
    small, large, huge = (Load(voxels, voxels) for voxels in (1e5, 512 * 512 * 200, 1e9))
    assert num_threads([small] * 20) == 8
    assert num_threads([small] * 3) == 3
    assert num_threads([small] * 20 + [large]) == 4
    assert num_threads([huge] * 20) == 1


def test_a_case_is_weighed_by_its_header_and_the_spacing_it_is_brought_to(tmp_path: Path) -> None:
    affine = np.diag([-2.0, 1.0, 1.0, 1.0])
    image = write_nifti(tmp_path / "image.nii.gz", np.zeros((10, 20, 30), np.int16), affine)
    case = Case("a", (image,), None)
    assert load_of(case, None, num_channels=2) == Load(12000, 12000)
    assert load_of(case, (1.0, 1.0, 2.0), num_channels=1) == Load(6000, pytest.approx(6000))
    assert load_of(case, (4.0, 4.0, 4.0), num_channels=1).stored_bytes < load_of(case, None, 1).stored_bytes / 30
