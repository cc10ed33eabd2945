"""Spacing, patch and batch follow from the headers of the scans where nothing is set."""

from pathlib import Path

import numpy as np
from scans import AFFINE, write_nifti

from aunet.data.case import Case
from aunet.data.patch_planning import plan_patches


def scans(tmp_path: Path, shape: tuple[int, int, int], affine: np.ndarray = AFFINE) -> list[Case]:
    paths = [write_nifti(tmp_path / f"{i}.nii.gz", np.zeros(shape, np.uint8), affine) for i in range(3)]
    return [Case(path.name, (path,), None) for path in paths]


def test_lengths_and_spacing_are_taken_in_the_order_right_anterior_superior(tmp_path: Path) -> None:
    plan = plan_patches(scans(tmp_path, (35, 34, 50)), None, None, None)
    np.testing.assert_allclose(plan.spacing, (1.0, 1.2, 1.5))
    assert plan.patch_size == (32, 48, 32)
    assert plan.batch_size == 8


def test_a_large_scan_is_seen_in_patches_within_the_budget(tmp_path: Path) -> None:
    plan = plan_patches(scans(tmp_path, (200, 160, 180), np.eye(4)), None, None, None)
    assert all(length % 16 == 0 for length in plan.patch_size)
    assert 200_000 <= np.prod(plan.patch_size) <= 400_000
    assert plan.batch_size == 2


def test_what_is_set_stays(tmp_path: Path) -> None:
    plan = plan_patches(scans(tmp_path, (20, 20, 20)), (2.0, 2.0, 2.0), (64, 64, 32), 3)
    assert (plan.spacing, plan.patch_size, plan.batch_size) == ((2.0, 2.0, 2.0), (64, 64, 32), 3)
