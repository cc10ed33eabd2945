"""Damaged inputs, every kind in one place: one clear message each, and the other cases stay usable."""

import logging
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from aunet.data.cohort.case import Cohort
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.selection import selected_cohort
from aunet.data.cohort.split_file import read_splits
from aunet.data.cohort.splits import Splits
from aunet.data.datamodule import SegmentationData
from aunet.data.patches.augmentation import Augmentation
from aunet.data.patches.planning import plan_patches
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.store.case_store import CaseStore
from aunet.errors import UserError
from tests.data.damage_sources import SOURCES
from tests.data.damages import FAULTS, HARMLESS, ODDITIES, WHOLE_DATASET, Damage

KINDS = {**FAULTS, **WHOLE_DATASET, **ODDITIES, **HARMLESS}
_LONGEST_MESSAGE = 900


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a sound dataset, written once."""

    @cache
    def write(source: str) -> Path:
        root = tmp_path_factory.mktemp(source)
        SOURCES[source].write(root)
        return root

    return write


@pytest.fixture
def damaged(sound: Callable[[str], Path], tmp_path: Path) -> Callable[[str], tuple[Damage, Path]]:
    """Return a damage and the folder of a copy that it was done to."""

    def damage(kind: str) -> tuple[Damage, Path]:
        root = tmp_path / "data"
        shutil.copytree(sound(KINDS[kind].source), root)
        KINDS[kind].act(root)
        return KINDS[kind], root

    return damage


def prepared(damage: Damage, root: Path, on_error: str) -> set[str]:
    """Ids of the cases that a run on the data would train on and validate with, each read whole."""
    cohort = selected_cohort(SOURCES[damage.source].cohort(root, _cache(root), on_error), None, on_error)
    plan = plan_patches(cohort.cases, None, None, None)
    preprocessing = Preprocessing(plan.spacing, cohort.modality, (-160.0, 240.0))
    store = CaseStore(_cache(root) / "cases", cohort, preprocessing, ContentDigests())
    splits, augmentation = _splits(root, cohort, on_error), Augmentation(plan.patch_size)
    data = SegmentationData(cohort, splits, store, augmentation, 1, 1, 0, seed=0, on_error=on_error)
    data.setup("fit")
    usable = store.prepare(data.cases((*data.splits.train, *data.splits.val)))
    for case in usable:
        image, label = case.image(), case.label()
        assert np.isfinite(image).all()
        assert image.shape == (cohort.num_channels, *label.shape)
    return {case.case_id for case in usable}


def _cache(root: Path) -> Path:
    return root.with_name("cache")


def _splits(root: Path, cohort: Cohort, on_error: str) -> Splits:
    """Those of a file beside the data, else the last case validates and all others train."""
    file = root / "splits.json"
    if file.is_file():
        return read_splits(file, cohort.cases, None, 0.5, 0, on_error)
    *training, last = (case.case_id for case in cohort.cases)
    return Splits(tuple(training), (last,), ())


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of whatever lies below ``folder``, links not followed."""
    return {
        str(path): (status.st_size, status.st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        for status in (path.lstat(),)
    }


def check_is_clear(message: str, damage: Damage, root: Path, names: str) -> None:
    """One short paragraph that names the case or the file, what is wrong and what to do."""
    told = message.replace(str(root), "ROOT")
    assert re.search(damage.said, told), told
    assert (damage.names or names) in told, told
    assert len(told) < _LONGEST_MESSAGE
    assert "\n\n" not in told
    assert "Traceback" not in told


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", FAULTS)
def test_a_damaged_case_stops_with_one_message_that_names_it(
    kind: str, damaged: Callable[[str], tuple[Damage, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    damage, root = damaged(kind)
    before = files_of(root)
    with pytest.raises(UserError) as refusal:
        prepared(damage, root, "stop")
    assert type(refusal.value) is UserError
    check_is_clear(str(refusal.value), damage, root, SOURCES[damage.source].case_ids[0])
    assert not warnings_in(caplog)
    assert files_of(root) == before


@pytest.mark.parametrize("kind", FAULTS)
def test_a_damaged_case_is_skipped_with_one_line_and_the_others_are_usable(
    kind: str, damaged: Callable[[str], tuple[Damage, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    damage, root = damaged(kind)
    left = prepared(damage, root, "skip")
    (line,) = warnings_in(caplog)
    check_is_clear(line, damage, root, SOURCES[damage.source].case_ids[0])
    assert line.startswith("Skipped, as data.on_error=skip:")
    assert "\n" not in line
    assert left == set(damage.left or SOURCES[damage.source].case_ids[1:])


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("kind", WHOLE_DATASET)
def test_faults_of_a_whole_dataset_are_reported_before_anything_is_written(
    kind: str, on_error: str, damaged: Callable[[str], tuple[Damage, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    damage, root = damaged(kind)
    before = files_of(root.parent)
    with pytest.raises(UserError) as refusal:
        prepared(damage, root, on_error)
    assert type(refusal.value) is UserError
    check_is_clear(str(refusal.value), damage, root, "ROOT")
    assert not warnings_in(caplog)
    assert files_of(root.parent) == before


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("kind", ODDITIES)
def test_odd_but_usable_data_are_reported_in_one_line(
    kind: str, on_error: str, damaged: Callable[[str], tuple[Damage, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    damage, root = damaged(kind)
    usable = prepared(damage, root, on_error)
    (line,) = warnings_in(caplog)
    check_is_clear(line, damage, root, SOURCES[damage.source].case_ids[0])
    assert usable == set(damage.left or SOURCES[damage.source].case_ids)


@pytest.mark.parametrize("kind", HARMLESS)
def test_unusual_but_sound_data_are_used_without_a_message(
    kind: str, damaged: Callable[[str], tuple[Damage, Path]], caplog: pytest.LogCaptureFixture
) -> None:
    damage, root = damaged(kind)
    assert len(prepared(damage, root, "stop")) == len(SOURCES[damage.source].case_ids)
    assert not warnings_in(caplog)


@pytest.mark.parametrize("source", SOURCES)
def test_the_sound_datasets_are_sound(
    source: str, sound: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = shutil.copytree(sound(source), tmp_path / "data")
    sane = Damage(source, lambda root: None, "")
    assert prepared(sane, root, "stop") == set(SOURCES[source].case_ids)
    assert not warnings_in(caplog)
