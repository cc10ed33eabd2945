"""A clock that is set back, by a server of time or by hand, changes no result, and no duration is negative."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aunet.commands.main import main
from aunet.pipeline.places import claim_folder
from aunet.runs import run_record
from aunet.runs.epoch_rows import read_table
from tests.end_to_end.fault_harness import differences

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def clock_running_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock back by a minute whenever it is read."""
    starts: Iterator[float] = itertools.count(time.time(), -60)
    monkeypatch.setattr(time, "time", lambda: next(starts))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(starts) * 1e9))
    monkeypatch.setattr(run_record, "_now", lambda: datetime.fromtimestamp(next(starts), UTC).isoformat())


@pytest.mark.slow
@pytest.mark.usefixtures("clock_running_backwards")
def test_a_training_under_a_clock_that_runs_backwards_is_the_same(
    attention_settings: list[str], finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", *attention_settings, "logger=csv", f"hydra.run.dir={run}"]) == 0
    assert differences(run, finished_run) == []
    for row in read_table(run / "timing.csv"):
        assert float(row["epoch_seconds"]) > 0
        assert all(float(value) >= 0 for value in row.values() if value)
    facts = json.loads((run / "run.json").read_text())
    assert facts["ended"] < facts["started"]
    assert all(seconds >= 0 for seconds in facts["durations"].values())
    capsys.readouterr()
    assert main(["runs", str(tmp_path)]) == 0
    assert " -" not in capsys.readouterr().out


@pytest.mark.parametrize("hours", [0, 1, 24 * 365])
def test_a_run_that_gets_the_time_of_an_earlier_one_gets_a_folder_of_its_own(hours: int, tmp_path: Path) -> None:
    """The second run starts when the clock shows what it showed before it was set back."""
    start = datetime(2026, 3, 29, 2, 30)
    later: Callable[[datetime], str] = "{:%Y-%m-%d_%H-%M-%S}".format
    first = claim_folder(tmp_path / later(start))
    between = claim_folder(tmp_path / later(start - timedelta(hours=hours)))
    again = claim_folder(tmp_path / later(start))
    assert len({first, between, again}) == 3
    assert again.name.startswith("2026-03-29_02-30-00_")
