"""Preprocessing is done once and kept under a key of content and settings."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scans import ball_and_box, write_msd_task, write_nifti

from aunet.classes import IGNORED
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.io.volume import Volume, read_channels, read_label
from aunet.data.preprocessing.region import Box, RegionFinder
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.sources.msd import msd_cohort
from aunet.data.store import case_store
from aunet.data.store.case_store import CaseStore
from aunet.errors import UserError

SETTINGS = Preprocessing(spacing=None, modality="mr", window=(-160.0, 240.0))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_msd_task(tmp_path / "task", num_cases=2)


def store(task: Path, preprocessing: Preprocessing = SETTINGS) -> CaseStore:
    return CaseStore(task.parent / "store", msd_cohort(str(task)), preprocessing, ContentDigests())


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
        voxels = [case.position(index, number) for number in range(case.position_counts[index])]
        assert set(case.label()[tuple(np.array(voxels).T)]) == {index}


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


def test_a_case_whose_voxels_are_all_ignored_is_refused_with_the_remedy(task: Path) -> None:
    cohort = msd_cohort(str(task))
    cohort = replace(cohort, class_of_value=dict.fromkeys(cohort.class_of_value, IGNORED))
    ignoring = CaseStore(task.parent / "store", cohort, SETTINGS, ContentDigests())
    with pytest.raises(UserError, match=r"ball_000: every voxel of its label map is ignored.*take the case out"):
        ignoring.prepare(cohort.cases)


def test_a_label_on_another_grid_is_refused(task: Path) -> None:
    write_nifti(task / "labelsTr" / "ball_001.nii.gz", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(UserError, match="ball_001"):
        prepared(task)


def test_a_truncated_image_is_refused_and_leaves_no_half_case(task: Path) -> None:
    image = task / "imagesTr" / "ball_001.nii.gz"
    image.write_bytes(image.read_bytes()[:500])
    with pytest.raises(UserError, match=r"ball_001\.nii\.gz"):
        prepared(task)
    assert not list((task.parent / "store").rglob("*ball_001*/*.chunks"))


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["image.chunks", "label.chunks", "positions.chunks", "case.json"])
@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_a_damaged_case_is_reported_and_made_again(
    task: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, untouched = prepared(task)
    whole = (folder / name).read_bytes()
    (folder / name).unlink() if damage == "gone" else (folder / name).write_bytes(whole[:-5])
    before = (untouched / "case.json").stat().st_mtime_ns
    assert prepared(task) == [folder, untouched]
    assert (folder / name).read_bytes() == whole
    assert (untouched / "case.json").stat().st_mtime_ns == before
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "ball_000 is made again" in line
    assert not list(folder.parent.glob(".????????-*"))


def test_a_changed_bit_deep_inside_is_refused_when_read_and_mended_when_verified(task: Path) -> None:
    cases = msd_cohort(str(task)).cases
    stored = store(task).prepare(cases)[0]
    expected = stored.image()
    flip_last_bit(stored.folder / "image.chunks")
    with pytest.raises(UserError, match=r"stored case ball_000.*aunet prepare --verify"):
        store(task).prepare(cases)[0].image()
    mended = store(task).prepare(cases, is_verifying=True)[0]
    assert np.array_equal(mended.image(), expected)


def test_two_that_prepare_at_once_make_each_case_once(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    plain = case_store.write_stored_case

    def write(folder: Path, case_id: str, *parts: Any) -> None:
        written.append(case_id)
        plain(folder, case_id, *parts)

    monkeypatch.setattr(case_store, "write_stored_case", write)
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(prepared, [task, task])
    assert first == second
    assert sorted(written) == ["ball_000", "ball_001"]


KILLED = """
import os, signal, sys
from pathlib import Path
from aunet.data.store import case_store
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.sources.msd import msd_cohort
from aunet.data.preprocessing.steps import Preprocessing

plain = case_store.write_stored_case
def write(folder, case_id, *parts):
    plain(folder, case_id, *parts)
    if case_id == "ball_001":
        os.kill(os.getpid(), signal.SIGKILL)

case_store.write_stored_case = write
case_store.num_threads = lambda loads: 1
cohort = msd_cohort(sys.argv[1])
settings = Preprocessing(spacing=None, modality="mr", window=(-160.0, 240.0))
case_store.CaseStore(Path(sys.argv[2]), cohort, settings, ContentDigests()).prepare(cohort.cases)
"""


@pytest.mark.slow
def test_finished_cases_of_a_killed_process_are_kept_and_the_rest_removed(task: Path) -> None:
    process = subprocess.run([sys.executable, "-c", KILLED, task, task.parent / "store"], timeout=120)
    assert process.returncode == -9
    [folder] = (task.parent / "store").iterdir()
    [finished] = folder.glob("ball_000-*")
    before = (finished / "case.json").stat().st_mtime_ns
    assert list(folder.glob(".????????-ball_001-*"))
    assert prepared(task)[0] == finished
    assert (finished / "case.json").stat().st_mtime_ns == before
    assert not list(folder.glob(".????????-ball_001-*"))


def test_more_than_the_budget_is_refused_with_what_is_there(task: Path) -> None:
    [there] = {folder.parent for folder in prepared(task)}
    cohort = msd_cohort(str(task))
    coarser = Preprocessing(spacing=(2.0, 2.0, 2.0), modality="mr", window=(-160.0, 240.0))
    small = CaseStore(task.parent / "store", cohort, coarser, ContentDigests(), budget=1e-6)
    with pytest.raises(UserError, match=rf"store_budget=1e-06 GB.*need about.*larger store_budget.*\n  {there}: "):
        small.prepare(cohort.cases)
    assert CaseStore(task.parent / "store", cohort, SETTINGS, ContentDigests(), budget=1e-6).prepare(cohort.cases)


def test_more_than_the_disk_has_is_refused_before_anything_is_made(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"need about .* MB in .* has 0\.0 MB free"):
        prepared(task)
    assert not list((task.parent / "store").iterdir())


def test_names_that_no_file_may_have_are_written_otherwise(task: Path) -> None:
    cohort = msd_cohort(str(task))
    odd = replace(cohort, name="../balls/é", cases=(replace(cohort.cases[0], case_id="../../a b/c"),))
    [case] = CaseStore(task.parent / "store", odd, SETTINGS, ContentDigests()).prepare(odd.cases)
    assert case.case_id == "../../a b/c"
    assert case.folder.parent.parent == task.parent / "store"


def test_a_case_is_found_again_where_its_files_lie_elsewhere(task: Path) -> None:
    folders = prepared(task)
    moved = task.rename(task.parent / "moved")
    assert prepared(moved) == folders


def test_masks_that_stand_for_other_values_are_another_case(task: Path) -> None:
    cohort = msd_cohort(str(task))
    files = [
        write_nifti(task / f"{part}.nii.gz", (ball_and_box((20, 18, 16), 0)[1] == part).astype(np.uint8))
        for part in (1, 2)
    ]
    stored = []
    for values in ((1, 2), (2, 1)):
        case = replace(cohort.cases[0], label=None, masks=tuple(zip(values, files, strict=True)))
        stored += store(task).prepare([case])
    plain, swapped = (case.label() for case in stored)
    assert np.array_equal(plain == 1, swapped == 2)
    assert not np.array_equal(plain, swapped)


class Corner:
    """A region that is the first ``length`` voxels along each axis; nothing is found in scans named in ``blind``."""

    def __init__(self, length: int = 10, blind: str = "nowhere") -> None:
        self.missed: list[str] = []
        self._length, self._blind = length, blind

    def find(self, channels: Sequence[Volume]) -> Box | None:
        return None if self._blind in channels[0].name else Box((0, 0, 0), (self._length,) * 3)

    def settings(self) -> dict[str, object]:
        return {"length": self._length, "blind": self._blind}


def with_region(task: Path, region: RegionFinder | None) -> CaseStore:
    return CaseStore(task.parent / "store", msd_cohort(str(task)), SETTINGS, ContentDigests(), region=region)


def test_a_cropped_case_is_the_preprocessed_crop_and_names_its_box(task: Path) -> None:
    cohort = msd_cohort(str(task))
    first, second = with_region(task, Corner(blind="ball_001")).prepare(cohort.cases)
    box = Box((0, 0, 0), (10, 10, 10))
    assert (first.box, second.box) == (box, None)
    assert first.label().shape == (10, 10, 10)
    label, scan = read_label(cohort.cases[0].label), read_channels(cohort.cases[0].images[0])
    assert np.array_equal(first.label(), SETTINGS.label(box.cut(label)).array)
    assert np.array_equal(first.image(), SETTINGS.image([box.cut(scan[0])]).array.astype(np.float16))
    [whole] = store(task).prepare(cohort.cases[1:])
    assert np.array_equal(second.image(), whole.image())


def test_each_region_has_a_store_of_its_own(task: Path) -> None:
    folders = {with_region(task, region).folder for region in (None, Corner(10), Corner(9), Corner(10, "ball"))}
    assert len(folders) == 4


def test_without_a_region_names_and_files_are_those_of_versions_before_it(task: Path) -> None:
    stored = with_region(task, None).prepare(msd_cohort(str(task)).cases)
    assert stored[0].folder.parent.name == "Balls-21ac138b1007"
    facts = [(case.folder / "case.json").read_bytes() for case in stored]
    assert [hashlib.sha256(content).hexdigest()[:12] for content in facts] == ["453a79166cc5", "c5f673b5c7df"]
