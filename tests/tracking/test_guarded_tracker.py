"""A tracker that fails, hangs or fills up causes one warning; the run continues."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aunet.tracking.guarded_tracker import GuardedTracker
from aunet.tracking.media_budget import MediaBudget
from tests.end_to_end.fault_harness import descendants
from tests.tracking.noting_tracker import NotingTracker


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(bytes(100))
    return path


def guarded(notes: Path, fault: str = "", media_bytes: float = 1000, **settings: Any) -> GuardedTracker:
    media = MediaBudget("Notes", media_bytes, notes.with_name("media.json"))
    tracker = GuardedTracker("Notes", partial(NotingTracker, notes, fault), media, **settings)
    tracker.start()
    return tracker


def tracker_processes() -> list[int]:
    """Those of this process."""
    children = descendants(os.getpid())
    return [child for child in children if b"tracker_process" in Path(f"/proc/{child}/cmdline").read_bytes()]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_tracker_has_noted_what_it_was_sent_when_the_call_returns(picture: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    tracker = guarded(notes)
    tracker.picture("attention", picture, 3)
    picture.unlink()
    tracker.metrics({"loss": 0.5}, 3)
    tracker.table("scores", pd.DataFrame({"dice": [0.9, 0.8]}))
    tracker.keep_file("best", picture)
    told = ["attention of 100 bytes", "epoch 3: {'loss': 0.5}", "scores with 2 rows", "best"]
    assert notes.read_text().splitlines() == told
    tracker.finish()
    assert notes.read_text().splitlines() == [*told, "end"]
    assert tracker_processes() == []


@pytest.mark.parametrize(("fault", "reason"), [("no start", "no space left"), ("throw", "the service is gone")])
def test_one_that_throws_costs_one_line_and_is_asked_no_more(
    fault: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = guarded(tmp_path / "notes", fault)
    for epoch in range(3):
        tracker.metrics({}, epoch)
    tracker.table("scores", pd.DataFrame())
    tracker.finish()
    assert warnings_of(caplog) == [f"Notes failed ({reason}); the run continues without it, all is in its folder."]
    assert "epoch" not in (tmp_path / "notes").read_text() if fault == "throw" else not (tmp_path / "notes").exists()


@pytest.mark.slow
def test_one_that_hangs_is_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = guarded(tmp_path / "notes", "hang", seconds=3)
    start = time.monotonic()
    for epoch in range(100):
        tracker.metrics({}, epoch)
    tracker.finish()
    assert time.monotonic() - start < 60
    [line] = warnings_of(caplog)
    assert "no answer within 3 s" in line
    assert tracker_processes() == []


def test_one_whose_process_dies_costs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = guarded(tmp_path / "notes")
    tracker.metrics({}, 0)
    [process] = tracker_processes()
    os.kill(process, signal.SIGKILL)
    tracker.metrics({}, 1)
    tracker.finish()
    assert len(warnings_of(caplog)) == 1


def test_pictures_end_with_the_budget_and_metrics_continue(
    picture: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for epochs in (range(1), range(1, 5)):  # interrupted after the first epoch
        tracker = guarded(tmp_path / "notes", media_bytes=350)
        for epoch in epochs:
            tracker.picture("attention", picture, epoch)
            tracker.metrics({}, epoch)
        tracker.finish()
    told = (tmp_path / "notes").read_text().splitlines()
    assert told.count("attention of 100 bytes") == 3
    assert len(told) == 3 + 5 + 2
    [line] = warnings_of(caplog)
    assert "logger.media_mib" in line


def test_the_tracker_of_a_killed_run_ends_with_what_it_was_sent(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    code = (
        "from tests.tracking.test_guarded_tracker import *\n"
        f"guarded(Path({str(notes)!r})).metrics({{}}, 0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.run([sys.executable, script], env=environment, check=False)
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while "end" not in notes.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert notes.read_text().splitlines() == ["epoch 0: {}", "end"]
