"""The standard streams, and progress of slow work outside a terminal."""

import io
import logging
import re
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from aunet.terminal import PatientStream, follow, patient_stream, run_progress, shown


def test_a_patient_stream_keeps_what_others_use_of_a_standard_stream(tmp_path: Path) -> None:
    """A class of the user may write bytes or reconfigure the stream, and a caller of ``main`` may call it twice."""
    with (tmp_path / "log").open("w", encoding="ascii") as file:
        file.write("before, ")
        stream = patient_stream(file)
        assert patient_stream(stream) is stream
        stream.write("größer, ")
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(encoding="utf-8")
        stream.write("größer, ")
        stream.flush()
        stream.buffer.write(b"bytes")
        stream.close()
    assert (tmp_path / "log").read_text(encoding="utf-8") == "before, gr??er, größer, bytes"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has such a file")
def test_text_that_waited_for_a_full_disk_before_the_command_is_dropped_too() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as file:
        file.write("before")
        stream = patient_stream(file)
        assert isinstance(stream, PatientStream)
        assert stream.is_cut


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Generator[Callable[[], str]]:
    """Return a function that waits for the next line of a log whose minute lasts a hundredth of a second."""
    monkeypatch.setattr("aunet.terminal._SECONDS_PER_LINE", 0.01)

    def next_line() -> str:
        seen = len(caplog.records)
        while len(caplog.records) == seen:
            time.sleep(0.001)
        return caplog.records[-1].getMessage()

    with caplog.at_level(logging.INFO, logger="aunet.terminal"):
        yield next_line


def test_a_log_gets_a_line_with_the_items_that_are_done(lines: Callable[[], str]) -> None:
    found = [lines() for _ in shown(iter("abc"), "Scoring cases", 3)]
    assert found[0].startswith("Scoring cases: 0 of 3 done, ")
    assert found[0].endswith(" s so far")
    assert found[1].startswith("Scoring cases: 1 of 3 done, ")
    assert " left, until " in found[2]


def test_a_single_long_item_leaves_a_line_in_a_log_before_it_comes(lines: Callable[[], str]) -> None:
    def slow() -> Generator[str]:
        yield lines()

    assert next(iter(shown(slow(), "Preparing cases", 1))).startswith("Preparing cases: 0 of 1 done, ")


def test_the_share_of_one_long_item_appears_in_a_log_with_its_expected_end(lines: Callable[[], str]) -> None:
    with run_progress() as progress:
        for _, report in follow(progress, ["scan"], "Testing"):
            report(0.25)
            lines()  # may have been made before the report
            assert re.fullmatch(r"Testing: 25 %, \d+ s left, until \d\d:\d\d.*", lines())


def test_the_time_left_in_a_log_follows_from_the_time_so_far() -> None:
    """A quarter that took 30 s leaves three quarters of 90 s."""
    now = [100.0]
    progress = run_progress()
    progress.get_time = lambda: now[0]
    bar = progress.add_task("Predicting scan", total=1)
    now[0] += 30
    progress.update(bar, completed=0.25)
    assert progress.texts()[0].startswith("Predicting scan: 25 %, 1 min 30 s left, until ")


def test_a_task_that_is_done_hidden_or_has_a_line_of_its_own_adds_none() -> None:
    progress = run_progress()
    progress.update(progress.add_task("Testing", total=1), completed=1)
    progress.add_task("Training", total=1, visible=False)
    progress.add_task("Training", total=1, logged=time.monotonic())
    assert progress.texts() == []


def test_quick_work_adds_nothing_to_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="aunet.terminal"):
        assert list(shown(iter(range(5)), "Scoring cases", 5)) == list(range(5))
    assert caplog.records == []
