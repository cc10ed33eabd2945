"""The line before the first step."""

from datetime import datetime, timedelta

import pytest
import torch

from aunet.training.hardware import HardwareChoice
from aunet.training.pace_words import computer_words, crowded_words, end_words, speed_words
from aunet.training.time_plan import Remainder, StepTimes


def test_the_computer_is_named_with_precision_and_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = HardwareChoice("cpu", "bf16", is_channels_last=True, is_tf32=True, ability="has fast bf16")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert computer_words(choice) == "CPU (2 threads), bf16, channels-last"


def test_the_speed_is_given_beside_the_share_of_the_matrix_rate() -> None:
    assert speed_words(1.6, 0.48) == "1.6 steps/s, 48 % of this machine's matrix rate"


@pytest.mark.parametrize(
    ("threads", "cores", "busy", "fewer"),
    [(2, 2, 0.1, None), (2, 2, 0.9, 1), (2, 2, 2.0, 1), (1, 2, 2.0, None), (8, 64, 40.0, None), (64, 64, 40.2, 24)],
)
def test_other_work_is_reported_if_threads_lack_cores_of_their_own(
    threads: int, cores: int, busy: float, fewer: int | None
) -> None:
    words = crowded_words(threads, cores, busy)
    assert words == "" if fewer is None else f"Try OMP_NUM_THREADS={fewer}," in words


def test_the_end_is_that_of_all_steps_and_validations() -> None:
    words = end_words(Remainder(240, 6, 160.0))
    end = datetime.now().astimezone() + timedelta(seconds=160)
    assert words.startswith("240 steps and 6 validations end at about ")
    assert f"{end:%H:%M}" in words or f"{end - timedelta(minutes=1):%H:%M}" in words
    assert words.endswith("(2 min 40 s)")
    assert end_words(Remainder(1, 1, 3.0)).startswith("1 step and 1 validation end at")


def test_limits_that_may_end_a_training_are_named_with_their_values() -> None:
    cut = end_words(Remainder(100, 10, 400.0, is_cut=True), max_time="00:00:06:40")
    assert cut.startswith("about 100 steps and 10 validations fit into trainer.max_time=00:00:06:40, which ends at ")
    assert cut.endswith("(6 min 40 s)")
    assert end_words(Remainder(100, 10, 400.0), patience=20).endswith("or earlier by trainer.patience=20")
    assert end_words(Remainder(0, 0, 0.0)) == "no step is left"


def test_the_time_left_counts_steps_and_validations() -> None:
    """Epochs of 10 steps of 2 s and a validation of 30 s: 4 steps of this epoch and two more epochs."""
    times = StepTimes(10, 2.0, 30.0)
    assert times.remainder(24, 3, 4) == Remainder(24, 3, 24 * 2.0 + 3 * 30.0)


@pytest.mark.parametrize(
    ("limit", "steps", "validations"),
    [
        (137.0, 23, 3),  # 38 s for the epoch under way, 50 s for another, 49 s for 9 steps and a validation
        (38.0, 4, 1),
        (88.0, 14, 2),
        (0.0, 0, 1),
    ],
)
def test_a_limit_leaves_the_steps_that_fit_before_it(limit: float, steps: int, validations: int) -> None:
    left = StepTimes(10, 2.0, 30.0).remainder(24, 3, 4, limit)
    assert left == Remainder(steps, validations, limit, is_cut=True)


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    assert StepTimes(10, 2.0, 30.0).remainder(24, 3, 4, 1000.0) == Remainder(24, 3, 138.0)
