"""The number of optimizer steps that fit into a limited time, with a validation at regular intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

# Number of the latest steps and validations that a mean follows: enough against the noise of a clock, and few enough
# to notice that the machine has become slower.
_STEPS, _VALIDATIONS = 100, 4


class RecentMean:
    """Mean of durations that follows the latest ``length`` of them, in seconds; 0 before the first."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._count = 0
        self.value = 0.0

    def add(self, seconds: float) -> None:
        """Add a duration (s)."""
        self._count = min(self._count + 1, self._length)
        self.value += (seconds - self.value) / self._count

    def state_dict(self) -> dict[str, object]:
        """Return mean and count as plain values."""
        return {"value": self.value, "count": self._count}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from an earlier mean."""
        self.value, self._count = float(state["value"]), int(state["count"])


@dataclass(frozen=True)
class Remainder:
    """The rest of a training: optimizer steps, validations, and the seconds of all.

    ``is_cut``: the time limit cuts the training. Then the numbers are those that fit, the seconds those that it leaves.
    """

    steps: int
    validations: int
    seconds: float
    is_cut: bool = False


@dataclass(frozen=True)
class StepTimes:
    """The repeated part of a training: ``steps`` of ``step_seconds`` each, then a validation of ``validation_seconds``.

    It is an epoch, or the epochs from one validation to the next. A training ends with a validation, also between two.
    """

    steps: int
    step_seconds: float
    validation_seconds: float

    def steps_within(self, seconds: float, before_validation: int) -> int | None:
        """Return how many steps fit into ``seconds``, with the validations between them and one behind the last.

        The next validation follows ``before_validation`` steps, or earlier if fewer fit. None if any number fits, as
        steps take no time.
        """
        if seconds <= 0:
            return 0
        if self.step_seconds <= 0:
            return None
        remaining = seconds - before_validation * self.step_seconds - self.validation_seconds
        if remaining <= 0:
            return min(before_validation, self._before_last(seconds))
        repetitions, rest = divmod(remaining, self.steps * self.step_seconds + self.validation_seconds)
        return before_validation + int(repetitions) * self.steps + min(self.steps, self._before_last(rest))

    def remainder(self, steps: int, validations: int, before_validation: int, limit: float | None = None) -> Remainder:
        """Return the rest of a training with ``steps`` and ``validations`` left.

        Args:
            steps: optimizer steps left.
            validations: validations left.
            before_validation: of these steps, those up to the next validation.
            limit: most seconds that are left; None for no limit.
        """
        seconds = steps * self.step_seconds + validations * self.validation_seconds
        if limit is None or seconds <= limit:
            return Remainder(steps, validations, seconds)
        fitting = min(steps, self.steps_within(limit, before_validation) or 0)
        validated = 1 + max(0, math.ceil((fitting - before_validation) / self.steps))
        return Remainder(fitting, min(validations, validated), limit, is_cut=True)

    def _before_last(self, seconds: float) -> int:
        # A whole number of steps that misses by rounding alone still fits.
        return max(0, math.floor((seconds - self.validation_seconds) / self.step_seconds + 1e-6))


def duration_in_seconds(duration: str | None) -> float | None:
    """Return the seconds of DD:HH:MM:SS; None for None.

    Examples:
        >>> duration_in_seconds("00:00:10:00")
        600.0
    """
    if duration is None:
        return None
    days, hours, minutes, seconds = (int(part) for part in duration.split(":"))
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def step_mean() -> RecentMean:
    """Return an empty mean for the durations of steps."""
    return RecentMean(_STEPS)


def validation_mean() -> RecentMean:
    """Return an empty mean for the durations of validations."""
    return RecentMean(_VALIDATIONS)
