"""Progress of slow work outside a terminal."""

import logging

import pytest

from aunet.terminal import shown


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
