"""Spacing, patch and batch follow from the headers of the scans where nothing is set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scans import AFFINE, write_msd_task, write_nifti

from aunet.build.data import build_cohort, fill_in_facts
from aunet.config.draft import compose_draft, load_draft, write_run_config
from aunet.data.cohort.case import Case
from aunet.data.io.volume import read_volume
from aunet.data.patches.planning import PatchPlan, check_plan, expected_shape, plan_patches
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError


def scans(tmp_path: Path, shape: tuple[int, int, int], affine: np.ndarray = AFFINE) -> list[Case]:
    paths = [write_nifti(tmp_path / f"{i}.nii.gz", np.zeros(shape, np.uint8), affine) for i in range(3)]
    return [Case(path.name, (path,), None) for path in paths]


def test_lengths_and_spacing_are_taken_in_the_order_right_anterior_superior(tmp_path: Path) -> None:
    plan = plan_patches(scans(tmp_path, (35, 34, 50)), None, None, None)
    np.testing.assert_allclose(plan.spacing, (1.0, 1.2, 1.5))
    assert plan.patch_size == (32, 48, 32)


def test_a_large_scan_is_seen_in_patches_within_the_budget(tmp_path: Path) -> None:
    plan = plan_patches(scans(tmp_path, (200, 160, 180), np.eye(4)), None, None, None)
    assert all(length % 16 == 0 for length in plan.patch_size)
    assert 200_000 <= np.prod(plan.patch_size) <= 400_000
    assert plan.batch_size == 2


@pytest.mark.parametrize(("length", "batch_size"), [(16, 8), (32, 3), (48, 2), (64, 2)])
def test_a_batch_holds_two_patches_or_as_many_as_fit_100_000_voxels(
    tmp_path: Path, length: int, batch_size: int
) -> None:
    plan = plan_patches(scans(tmp_path, (length, length, length), np.eye(4)), None, None, None)
    assert plan.patch_size == (length, length, length)
    assert plan.batch_size == batch_size


def test_a_resumed_run_keeps_the_plan_it_began_with_though_the_rules_have_changed(tmp_path: Path) -> None:
    root = write_msd_task(tmp_path / "task", num_cases=3, shape=(20, 20, 20))
    draft = compose_draft(["data=msd", f"data.root={root}"])
    cohort = build_cohort(draft.data)
    config = fill_in_facts(draft, cohort)
    begun = replace(config.dataset, spacing=[1.5, 1.5, 1.5], patch_size=[32, 32, 16], batch_size=5)
    write_run_config(replace(config, dataset=begun), tmp_path)
    resumed = load_draft(tmp_path).with_values({"resume": str(tmp_path)})
    assert fill_in_facts(resumed, cohort).dataset == begun


def test_a_job_of_a_sweep_that_has_seen_no_data_yet_is_planned_as_set(tmp_path: Path) -> None:
    root = write_msd_task(tmp_path / "task", num_cases=3, shape=(20, 20, 20))
    draft = compose_draft(["data=msd", f"data.root={root}", "data.batch_size=3", f"resume={tmp_path}"])
    assert fill_in_facts(draft, build_cohort(draft.data)).dataset.batch_size == 3


def test_given_sizes_stay(tmp_path: Path) -> None:
    plan = plan_patches(scans(tmp_path, (20, 20, 20)), (2.0, 2.0, 2.0), (64, 64, 32), 3)
    assert (plan.spacing, plan.patch_size, plan.batch_size) == ((2.0, 2.0, 2.0), (64, 64, 32), 3)


@pytest.mark.parametrize("spacing", [(0.001, 0.001, 0.001), (1000.0, 1200.0, 1500.0)])
def test_a_spacing_of_another_unit_is_refused_with_that_of_the_scans(
    spacing: tuple[float, ...], tmp_path: Path
) -> None:
    cases = scans(tmp_path, (35, 34, 50))
    with pytest.raises(UserError, match=r"the scans are 1×1\.2×1\.5 mm .*data\.spacing=\[1,1\.2,1\.5\]"):
        check_plan(cases, PatchPlan(spacing, (16, 16, 16), 2))


def test_a_patch_of_pictures_with_a_depth_is_refused(tmp_path: Path) -> None:
    cases = scans(tmp_path, (30, 34, 1), np.eye(4))
    with pytest.raises(UserError, match=r"one voxel thick\. Set data\.patch_size=\[16,32,1\]"):
        check_plan(cases, PatchPlan((1.0, 1.0, 1.0), (16, 32, 16), 2))


def test_a_patch_of_mostly_padding_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cases = scans(tmp_path, (35, 34, 50))
    check_plan(cases, PatchPlan((1.0, 1.2, 1.5), (64, 64, 64), 2))
    assert not caplog.records
    check_plan(cases, PatchPlan((1.0, 1.2, 1.5), (128, 128, 128), 2))
    assert "the largest scan has 35×50×34 voxels at this spacing" in caplog.text


@pytest.mark.parametrize("spacing", [(1.0, 1.2, 1.5), (2.0, 2.0, 2.0), (3.1, 0.7, 5.0)])
def test_the_shape_foretold_by_the_header_is_that_of_the_prepared_case(
    spacing: tuple[float, ...], tmp_path: Path
) -> None:
    case, *_ = scans(tmp_path, (35, 34, 50))
    prepared = Preprocessing(spacing, "ct", None).image([read_volume(case.images[0])])
    assert expected_shape(case, spacing) == prepared.array.shape[1:]
