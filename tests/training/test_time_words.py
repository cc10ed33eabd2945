"""Durations and times of day in words."""

from datetime import datetime, timezone

import pytest

from aunet.training.time_words import clock_words, duration_words

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=timezone.utc)  # noqa: UP017


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (8, "8 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (160, "2 min 40 s"),
        (3599.9, "1 h"),
        (3600 * 3 + 60 * 20 + 29, "3 h 20 min"),
        (86400 + 3600 * 4, "1 day 4 h"),
        (86400 * 12, "12 days"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2 * 3600 + 32 * 60, "14:32"),
        (12 * 3600, "00:00 on 27 Nov"),
        (86400 * 40, "05 Jan 2027"),
    ],
)
def test_a_time_on_another_day_has_its_date(seconds: float, words: str) -> None:
    assert clock_words(seconds, NOON) == words
