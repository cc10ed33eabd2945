"""How many steps fit into a time: against counting them one by one."""

import pytest

from aunet.training.time_plan import RecentMean, StepTimes


def count_one_by_one(seconds: float, times: StepTimes, left_in_epoch: int) -> int:
    """Make steps while the next one and the validation that must follow it still fit."""
    made, left = 0, left_in_epoch
    if left == 0:
        seconds, left = seconds - times.validation_seconds, times.steps
    while seconds >= times.step_seconds + times.validation_seconds:
        seconds -= times.step_seconds
        made, left = made + 1, left - 1
        if left == 0:
            seconds, left = seconds - times.validation_seconds, times.steps
    return made


@pytest.mark.parametrize("validation", [0.0, 0.5, 12.0, 100.0])
@pytest.mark.parametrize("left_in_epoch", [0, 1, 4, 5])
@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 3.0, 17.0, 100.0, 500.0, 1234.5])
def test_steps_within_a_time_are_those_counted_one_by_one(
    validation: float, left_in_epoch: int, seconds: float
) -> None:
    times = StepTimes(5, 1.0, validation)
    assert times.steps_within(seconds, left_in_epoch) == count_one_by_one(seconds, times, left_in_epoch)


def test_the_number_of_steps_is_unknown_before_the_first_is_measured() -> None:
    assert StepTimes(5, 0.0, 0.0).steps_within(10.0, 5) is None
    assert StepTimes(5, 0.0, 0.0).steps_within(0.0, 5) == 0


def test_a_recent_mean_is_the_mean_until_it_is_full_and_then_follows() -> None:
    mean = RecentMean(4)
    for value in (1.0, 2.0, 3.0, 6.0):
        mean.add(value)
    assert mean.value == pytest.approx(3.0)
    for _ in range(30):
        mean.add(9.0)
    assert mean.value == pytest.approx(9.0, abs=0.01)


def test_a_recent_mean_continues_from_its_state() -> None:
    first, second = RecentMean(4), RecentMean(4)
    first.add(1.0)
    second.load_state_dict(first.state_dict())
    second.add(3.0)
    assert second.value == pytest.approx(2.0)
