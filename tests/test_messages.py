"""Words of messages: lists, sizes, durations and times of day."""

from datetime import datetime, timedelta, timezone

import pytest

from aunet.messages import (
    age_words,
    clock_words,
    counted,
    duration_digits,
    duration_words,
    gigabytes,
    nearest,
    rounded,
    shortened,
    train_command,
)

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


def test_long_lists_of_names_end_in_a_count() -> None:
    assert shortened(["a", "b"]) == "a, b"
    assert shortened(list("abcdefgh")) == "a, b, c, d, e and 3 more"
    assert shortened([1, 2, 3], 2) == "1, 2 and 1 more"


@pytest.mark.parametrize(
    ("value", "text"), [(9.96, "10"), (0.1251, "0.13"), (1.62, "1.6"), (4.0, "4.0"), (23.4, "23"), (120, "120")]
)
def test_a_speed_has_two_digits_and_no_exponent(value: float, text: str) -> None:
    assert rounded(value) == text


def test_sizes_counts_and_table_cells_read_as_people_write_them() -> None:
    assert (gigabytes(6.1e9), gigabytes(12.3e6)) == ("6.1 GB", "12.3 MB")
    assert (counted(1, "step"), counted(2, "step")) == ("1 step", "2 steps")
    assert duration_digits(160.4) == "0:02:40"


def test_the_nearest_name_is_found_however_different_it_is() -> None:
    assert nearest("case_012", ["other", "case_021"]) == "case_021"
    assert nearest("x", []) == ""


@pytest.mark.parametrize(("hours", "words"), [(1, "60 min"), (3, "3 h"), (72, "3 days")])
def test_an_age_has_its_largest_unit(hours: int, words: str) -> None:
    assert age_words(datetime.now().astimezone() - timedelta(hours=hours, seconds=1)) == words
    assert age_words(None) == "–"


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), timedelta(hours=1), timedelta(days=4000)])
def test_a_start_after_a_clock_was_set_back_has_an_age_of_zero(ahead: timedelta) -> None:
    assert age_words(datetime.now().astimezone() + ahead) == "0 min"


@pytest.mark.parametrize(
    ("started", "command"),
    [("train.py", "python train.py"), ("/opt/venv/bin/aunet", "aunet train"), ("", "aunet train")],
)
def test_the_command_to_continue_with_is_the_one_that_was_typed(
    started: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [started, "train"])
    assert train_command() == command
