"""The choices of a search, written like Hydra's sweeps: ``model=unet,attention lr=interval(1e-4,1e-2)``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from aunet.config.composition import parsed_overrides
from aunet.errors import UserError


@dataclass(frozen=True)
class SearchSpace:
    """The overrides that every trial has, and for each other key its choices."""

    fixed: tuple[str, ...]
    choices: Mapping[str, BaseDistribution]

    def words(self, chosen: Mapping[str, object]) -> list[str]:
        """Return the overrides of the trial with the values ``chosen``."""
        return [*self.fixed, *(f"{key}={chosen[key]}" for key in self.choices)]

    def corners(self) -> list[list[str]]:
        """Return overrides in which each option and both ends of each interval occur, to check before anything runs."""
        ends = {key: _ends(distribution) for key, distribution in self.choices.items()}
        count = max(len(values) for values in ends.values())
        return [
            self.words({key: values[min(number, len(values) - 1)] for key, values in ends.items()})
            for number in range(count)
        ]


def read_search_space(overrides: Sequence[str]) -> SearchSpace:
    """Read the space from ``overrides``; raise UserError if there is nothing to choose or an interval is invalid."""
    parsed = parsed_overrides(overrides)
    choices = {
        override.get_key_element(): _distribution(override) for override in parsed if override.is_sweep_override()
    }
    if not choices:
        raise UserError(
            "There is nothing to search: list values, or write an interval, as in"
            " model=unet,attention 'optimizer.factory.lr=tag(log,interval(1e-4,1e-2))'."
        )
    fixed = tuple(str(override.input_line) for override in parsed if not override.is_sweep_override())
    return SearchSpace(fixed, choices)


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return _interval(value)
        if isinstance(value, RangeSweep):
            return _steps(list(value.range()), value.step)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise UserError(
            f"{override.input_line}: {error} Give the lower end first, and above 0 with a log tag."
        ) from None


def _interval(interval: IntervalSweep) -> BaseDistribution:
    low, high, is_log = cast(float, interval.start), cast(float, interval.end), "log" in interval.tags
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=is_log)
    return FloatDistribution(float(low), float(high), log=is_log)


def _steps(values: Sequence[float], step: float) -> BaseDistribution:
    if not values:
        raise ValueError("the range is empty.")
    low, high = min(values), max(values)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, step=int(abs(step)))
    return FloatDistribution(low, high, step=float(abs(step)))


def _ends(distribution: BaseDistribution) -> list[object]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    numbers = cast(FloatDistribution, distribution)
    return [numbers.low, numbers.high]
