"""The standard streams, and progress of slow work outside a terminal."""

import io
import logging
from pathlib import Path

import pytest

from aunet.terminal import PatientStream, patient_stream, shown


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


def test_a_log_gets_a_line_a_minute_with_what_is_done_and_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = iter([0, *range(0, 1000, 25)])  # at the start, and when each item is there: one takes 25 s
    monkeypatch.setattr("aunet.terminal.time.monotonic", lambda: float(next(seconds)))
    with caplog.at_level(logging.INFO, logger="aunet.terminal"):
        assert list(shown("abcdefgh", "Scoring cases")) == list("abcdefgh")
    assert [record.getMessage() for record in caplog.records] == [
        "Scoring cases: 3 of 8, 2 min 5 s left",
        "Scoring cases: 6 of 8, 50 s left",
    ]


def test_quick_work_adds_nothing_to_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="aunet.terminal"):
        assert list(shown(iter(range(5)), "Scoring cases", 5)) == list(range(5))
    assert caplog.records == []
