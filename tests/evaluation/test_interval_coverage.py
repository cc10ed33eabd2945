"""Simulations of the interval and the test of a mean: coverage, false positives, power. The numbers are printed."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from aunet.evaluation import sign_flip_test
from aunet.evaluation.sign_flip_test import infer_mean

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

SIMULATIONS = 2500
DRAWS = 2000  # more change a p value, not how often it is below 0.05
# A sampler and its mean. A Dice that one model loses on a few patients makes differences like the last.
DISTRIBUTIONS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda random, n: random.normal(size=n), 0.0),
    "heavy tails (t, 3 degrees)": (lambda random, n: random.standard_t(3, size=n), 0.0),
    "exponential": (lambda random, n: random.exponential(size=n), 1.0),
    "lognormal, sigma 0.5": (lambda random, n: random.lognormal(0, 0.5, n), float(np.exp(0.125))),
    "lognormal, sigma 1": (lambda random, n: random.lognormal(0, 1, n), float(np.exp(0.5))),
    "loss of Dice (beta 1, 8)": (lambda random, n: -random.beta(1, 8, n), -1 / 9),
}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_flip_test, "DRAWS", DRAWS)


def t_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


def bca_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the interval of f8e6fcc."""
    random = np.random.default_rng(0)
    result = stats.bootstrap((values,), np.mean, n_resamples=1000, method="BCa", rng=random)
    return result.confidence_interval.low, result.confidence_interval.high


def coverage(draw: Draw, mean: float, n: int) -> dict[str, float]:
    """Share (%) of the simulations whose interval holds the true mean, by method."""
    random, hits = np.random.default_rng(n), dict.fromkeys(("sign flips", "t", "BCa"), 0)
    for number in range(SIMULATIONS):
        values = draw(random, n) - mean
        inference = infer_mean(values, seed=number)
        assert (inference.low <= 0 <= inference.high) == (inference.p_value > 0.05), f"simulation {number}"
        intervals = {
            "sign flips": (inference.low, inference.high),
            "t": t_interval(values),
            "BCa": bca_interval(values),
        }
        for method, (low, high) in intervals.items():
            hits[method] += low <= 0 <= high
    return {method: 100 * count / SIMULATIONS for method, count in hits.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n", "lowest"),
    [
        *(("normal", n, 93) for n in (6, 8, 20, 40)),
        *(("heavy tails (t, 3 degrees)", n, 93) for n in (8, 20, 40)),
        *(
            (name, n, 93)
            for name in ("exponential", "lognormal, sigma 0.5", "loss of Dice (beta 1, 8)")
            for n in (20, 40)
        ),
        # No method that was tried reaches 93 % at n = 20 (skewness 6.2): t 87, BCa 88, bootstrap-t 92 %.
        ("lognormal, sigma 1", 20, 91),
        ("lognormal, sigma 1", 40, 93),
        # Eight values show too little of their skewness: t 89, BCa 86, bootstrap-t 93 %.
        ("exponential", 8, 90),
    ],
)
def test_the_interval_covers_the_mean(name: str, n: int, lowest: float, capsys: pytest.CaptureFixture[str]) -> None:
    draw, mean = DISTRIBUTIONS[name]
    found = coverage(draw, mean, n)
    told = ", ".join(f"{method} {share:.1f} %" for method, share in found.items())
    with capsys.disabled():
        sys.stdout.write(f"\nCoverage, {name}, n = {n}, seed {n}: {told} ")
    # At n = 6 the attainable levels are 2/64 and 4/64: the interval covers 96.9 %.
    assert lowest <= found["sign flips"] <= (98 if n == 6 else 97)
