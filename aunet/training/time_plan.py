"""How many optimizer steps a limited time leaves, with a validation after every epoch."""

import math
from dataclasses import dataclass
from typing import Any

# Of the latest steps and validations that a mean follows: so many are enough against the noise of a clock, and few
# enough to notice that the machine has become slower.
_STEPS, _VALIDATIONS = 100, 4


class RecentMean:
    """Mean of durations that follows the latest ``length`` of them, in seconds; 0 before the first."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._count = 0
        self.value = 0.0

    def add(self, seconds: float) -> None:
        """Take a duration in."""
        self._count = min(self._count + 1, self._length)
        self.value += (seconds - self.value) / self._count

    def state_dict(self) -> dict[str, Any]:
        """Return mean and count as plain values."""
        return {"value": self.value, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from an earlier mean."""
        self.value, self._count = float(state["value"]), int(state["count"])


@dataclass(frozen=True)
class Remainder:
    """What is left of a training: optimizer steps, validations, and the seconds of all.

    ``is_cut`` by the time limit: then so many fit into it, and the seconds are what it leaves.
    """

    steps: int
    validations: int
    seconds: float
    is_cut: bool = False


@dataclass(frozen=True)
class EpochTimes:
    """The parts of an epoch: ``steps`` of ``step_seconds`` each, then a validation of ``validation_seconds``."""

    steps: int
    step_seconds: float
    validation_seconds: float

    def steps_within(self, seconds: float, left_in_epoch: int) -> int | None:
        """Return how many steps fit into ``seconds``, with the validation of every epoch in which one is made.

        The first ``left_in_epoch`` steps complete an epoch that is under way, which is validated even if none fits.
        None if any number fits, as steps take no time.
        """
        if seconds <= 0:
            return 0
        if self.step_seconds <= 0:
            return None
        remaining = seconds - left_in_epoch * self.step_seconds - self.validation_seconds
        if remaining <= 0:
            return min(left_in_epoch, self._before_validation(seconds))
        epochs, rest = divmod(remaining, self.steps * self.step_seconds + self.validation_seconds)
        return left_in_epoch + int(epochs) * self.steps + min(self.steps, self._before_validation(rest))

    def remainder(self, steps: int, validations: int, limit: float | None = None) -> Remainder:
        """Return how long ``steps`` take that are left, with ``validations``, the first of an epoch under way.

        ``limit``: seconds that are left at most; None for no limit.
        """
        seconds = steps * self.step_seconds + validations * self.validation_seconds
        if limit is None or seconds <= limit:
            return Remainder(steps, validations, seconds)
        in_epoch = steps - max(0, validations - 1) * self.steps
        fitting = min(steps, self.steps_within(limit, max(0, in_epoch)) or 0)
        validated = 1 + max(0, math.ceil((fitting - in_epoch) / self.steps))
        return Remainder(fitting, min(validations, validated), limit, is_cut=True)

    def _before_validation(self, seconds: float) -> int:
        # A whole number of steps that measured times miss by rounding alone still fits.
        return max(0, math.floor((seconds - self.validation_seconds) / self.step_seconds + 1e-6))


def duration_in_seconds(duration: str | None) -> float | None:
    """Return the seconds of DD:HH:MM:SS; None of None."""
    if duration is None:
        return None
    days, hours, minutes, seconds = (int(part) for part in duration.split(":"))
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def step_mean() -> RecentMean:
    """Return the mean duration of steps, none measured yet."""
    return RecentMean(_STEPS)


def validation_mean() -> RecentMean:
    """Return the mean duration of validations, none measured yet."""
    return RecentMean(_VALIDATIONS)
