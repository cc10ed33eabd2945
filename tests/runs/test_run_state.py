"""The state of a run, read from the files in its folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from aunet.runs.run_lock import locked_folder
from aunet.runs.run_state import read_run_state


def write_record(folder: Path, **facts: Any) -> Path:
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


def test_a_run_whose_process_lives_is_running_and_one_without_has_died(tmp_path: Path) -> None:
    write_record(tmp_path, status="running")
    with locked_folder(tmp_path):
        assert read_run_state(tmp_path).status == "running"
    assert read_run_state(tmp_path).status == "died"


def test_an_interrupted_run_that_was_taken_up_again_is_running(tmp_path: Path) -> None:
    write_record(tmp_path, status="interrupted")
    assert read_run_state(tmp_path).status == "interrupted"
    with locked_folder(tmp_path):
        assert read_run_state(tmp_path).status == "running"


@pytest.mark.parametrize("text", [None, "", '{"status": "fini'])
def test_a_run_without_a_whole_record_waits(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    assert read_run_state(tmp_path).status == "waiting"


def test_scores_and_epochs_come_from_the_tables(tmp_path: Path) -> None:
    dice = {"spleen": {"dice": {"mean": 0.5, "count": 2}}, "liver": {"dice": {"mean": None, "count": 0}}}
    write_record(tmp_path, status="finished", data="ct150", is_phantom=True, model="unet", scores=dice)
    (tmp_path / "config.yaml").write_text("trainer: {max_epochs: 4}")
    (tmp_path / "metrics.csv").write_text("epoch,val/dice\n0,0.25\n1,0.75\n2,nan\n")
    (tmp_path / "timing.csv").write_text("epoch,epoch_seconds\n0,2\n1,3\n2,4\n")
    state = read_run_state(tmp_path)
    assert (state.status, state.data, state.is_phantom, state.model) == ("finished", "ct150", True, "unet")
    assert (len(state.validation_dice), state.max_epochs, state.best_dice) == (3, 4, 0.75)
    assert state.test_dice == {"spleen": 0.5}
    assert state.seconds == 9.0


@pytest.mark.parametrize(
    "facts",
    [
        {"started": "yesterday", "durations": {"train": "long"}, "caveats": 7, "commit": ["a"]},
        {"started": 5, "durations": [1, 2], "caveats": {"a": 1}, "scores": [{}]},
        {"durations": {"train": {}}, "scores": {"liver": {"dice": {"mean": "x", "count": 1}}}},
    ],
)
def test_facts_of_another_type_are_not_recorded(facts: dict[str, Any], tmp_path: Path) -> None:
    state = read_run_state(write_record(tmp_path, status="finished", **facts))
    assert (state.status, state.started, state.seconds, state.caveats) == ("finished", None, 0, ())
    assert state.test_dice == {}


def test_a_time_without_a_zone_counts_as_utc(tmp_path: Path) -> None:
    state = read_run_state(write_record(tmp_path, started="2026-01-02T03:04:05"))
    assert state.started is not None
    assert state.started.isoformat() == "2026-01-02T03:04:05+00:00"
