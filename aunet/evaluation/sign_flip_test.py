"""Test and interval of the mean of paired differences, by flipping their signs.

If the mean is 0 and the distribution symmetric, every pattern of signs is equally likely, whatever the distribution:
the p value is the share of the patterns whose statistic is at least as far from 0. The interval holds the values of the
mean that the same test does not reject, so it excludes 0 exactly if p is at most 0.05.

The statistic is t corrected for skewness (Hall 1992, J. R. Stat. Soc. B 54, 221). For symmetric differences the test is
as exact as with the plain mean, which orders the patterns as t does. For skewed ones, such as those of Dice near its
upper end, the plain mean rejects too often: its interval covers 91 % (exponential, n = 20), this one 94 %.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

LEVEL = 0.05
# Below six differences even the most extreme of the patterns has p = 2 / 2^5 > 0.05: no interval is bounded.
FEWEST = 6
# 2^15 patterns with the first sign kept, which represent all 2^16, because a pattern and its opposite count alike.
MOST_EXACT = 16
DRAWS = 100_000
# Signs held in memory at a time (8 bytes each).
_SIGNS_AT_ONCE = 2_000_000
# Patterns that tie with the observed one mathematically differ from it by rounding.
_TIE = 1e-9
# Of the ends of the interval, as a share of its half width.
_PRECISION = 1e-4


@dataclass(frozen=True)
class MeanInference:
    """95 % interval of a mean and the p value of "the mean is 0", two-sided."""

    low: float
    high: float
    p_value: float


class KnownInferences:
    """The inferences of one comparison by their differences: two of its tables often test the same ones."""

    def __init__(self) -> None:
        self._known: dict[bytes, MeanInference] = {}

    def infer(self, test: "SignFlipTest") -> MeanInference:
        """Return the inference of ``test``, and keep it."""
        key = test.differences.tobytes()
        if key not in self._known:
            self._known[key] = test.infer()
        return self._known[key]

    def infer_mean(self, differences: Array) -> MeanInference:
        """Return the inference of exactly these ``differences`` (n,) in this order, anew if it is not known."""
        known = self._known.get(differences.tobytes())
        return self.infer(SignFlipTest(differences)) if known is None else known


class SignFlipTest:
    """The test of the mean of independent ``differences`` (n,), and the interval of the means that it does not reject.

    All patterns of signs are enumerated up to n = ``MOST_EXACT``; beyond it, ``DRAWS`` are drawn from ``seed``, and the
    observed one counts as one of them (Phipson and Smyth 2010), so that p is never 0. Below ``FEWEST`` p values and
    interval are NaN.
    """

    def __init__(self, differences: Array, *, seed: int = 0) -> None:
        self.differences = differences
        self._n = len(differences)
        self._mean = self._sd = math.nan
        self._standard_p_value: Callable[[float], float] | None = None
        if self._n < FEWEST:
            return
        self._mean, self._sd = float(differences.mean()), float(differences.std())
        # Differences that are equal up to rounding have no spread to divide by.
        if np.ptp(differences) > 1e-12 * max(1.0, abs(self._mean)):
            self._standard_p_value = _p_values((differences - self._mean) / self._sd, seed)

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p of the hypothesis that the mean is ``null``."""
        if self._n < FEWEST:
            return math.nan
        if self._standard_p_value is not None:
            return self._standard_p_value((null - self._mean) / self._sd)
        smallest = 2 / 2**self._n if self._n <= MOST_EXACT else 1 / (DRAWS + 1)
        return 1.0 if abs(self._mean - null) < 1e-12 else smallest

    def infer(self) -> MeanInference:
        """Return the interval, and the p of a mean of 0."""
        p_value = self.p_value()
        if self._standard_p_value is None:
            return MeanInference(self._mean, self._mean, p_value)
        null = -self._mean / self._sd
        low, high = (self._mean + self._sd * _end(self._standard_p_value, null, side, self._n) for side in (-1, 1))
        if p_value > LEVEL:  # mean + sd * null is 0 up to rounding
            low, high = min(low, 0.0), max(high, 0.0)
        return MeanInference(low, high, p_value)


def infer_mean(differences: Array, *, seed: int = 0) -> MeanInference:
    """Return interval and p value of the mean of independent ``differences`` (n,), as ``SignFlipTest``."""
    return SignFlipTest(differences, seed=seed).infer()


def skewness_corrected_t(means: Array, square: float, cubes: Array, n: int) -> Array:
    """Return Hall's transformation of the t statistic, from the means of n values, their squares and their cubes."""
    variance = np.maximum(square - means * means, 1e-14 * square)
    sd = np.sqrt(variance)
    skewness = (cubes - means * (3 * square - 2 * means * means)) / (variance * sd)
    t = means / sd
    bent = skewness * t / 3  # t + skewness t^2 / 3 + skewness^2 t^3 / 27 = t (1 + bent + bent^2 / 3)
    return math.sqrt(n) * (t * (1 + bent * (1 + bent / 3)) + skewness / (6 * n))


def _p_values(values: Array, seed: int) -> Callable[[float], float]:
    """Return the p value as a function of the mean under the null, for ``values`` of mean 0."""
    n = len(values)
    powers = np.stack([values**power for power in range(4)], axis=1) / n
    flipped = np.concatenate([signs @ powers for signs in _sign_patterns(n, seed)])
    count, first, second, third = np.ascontiguousarray(flipped.T)

    def p_value_of(null: float) -> float:
        # Means of the flipped values and of their cubes after `null` is subtracted, multiplied out.
        cubes = third - null * (3 * second - null * (3 * first - null * count))
        square = float(np.square(values - null).mean())
        statistic = np.abs(skewness_corrected_t(first - null * count, square, cubes, n))
        return float(np.mean(statistic >= statistic[0] * (1 - _TIE) - _TIE))

    return p_value_of


def _sign_patterns(n: int, seed: int) -> Iterator[Array]:
    """Yield patterns (m, n) of 1 and -1, the first of them without a flip."""
    if n <= MOST_EXACT:
        numbers = np.arange(2 ** (n - 1))
        yield 1 - 2 * (numbers[:, None] >> np.arange(n) & 1).astype(np.float64)
        return
    random, left = np.random.default_rng(seed), DRAWS
    yield np.ones((1, n))
    while left:
        rows = min(left, max(1, _SIGNS_AT_ONCE // n))
        yield 1 - 2 * random.integers(0, 2, (rows, n), dtype=np.int8).astype(np.float64)
        left -= rows


def _end(p_value_of: Callable[[float], float], zero: float, side: int, n: int) -> float:
    """Return the end of the interval on one ``side`` (-1 or 1) of the mean, in sds from it.

    ``zero``, the difference of 0, brackets the end if it lies on this side, so that the interval includes it exactly if
    the test does not reject it.
    """
    accepted, rejected = 0.0, side * math.inf
    if zero * side > 0:
        accepted, rejected = (zero, rejected) if p_value_of(zero) > LEVEL else (accepted, zero)
    step = side * float(special.stdtrit(n - 1, 1 - LEVEL / 2)) / math.sqrt(n - 1)
    while abs(accepted + step) < abs(rejected):
        if p_value_of(accepted + step) > LEVEL:
            accepted, step = accepted + step, 2 * step
        else:
            rejected = accepted + step

    def excess(null: float) -> float:
        nonlocal accepted
        p_value = p_value_of(null)
        if p_value > LEVEL:
            accepted = side * max(side * accepted, side * null)
        return p_value - LEVEL or -LEVEL  # brentq would end at a p that equals the level, which rejects

    from scipy import optimize  # takes a quarter of a second, and few patients need none

    optimize.brentq(excess, accepted, rejected, xtol=abs(step) * _PRECISION)
    return accepted
