"""Spacing, patch and batch follow from the headers of the scans where nothing is set."""

from pathlib import Path

import numpy as np
import pytest
from scans import AFFINE, write_nifti

from aunet.data.cohort.case import Case
from aunet.data.io.volume import read_volume
from aunet.data.patches.planning import expected_shape, plan_patches
from aunet.data.preprocessing.steps import Preprocessing


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


@pytest.mark.parametrize("spacing", [(1.0, 1.2, 1.5), (2.0, 2.0, 2.0), (3.1, 0.7, 5.0)])
def test_the_shape_foretold_by_the_header_is_that_of_the_prepared_case(
    spacing: tuple[float, ...], tmp_path: Path
) -> None:
    case, *_ = scans(tmp_path, (35, 34, 50))
    prepared = Preprocessing(spacing, "ct", None).image([read_volume(case.images[0])])
    assert expected_shape(case, spacing) == prepared.array.shape[1:]
