"""Is one model better than another on the same cases: statistics of the differences, case by case."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from aunet.metrics.case_scores import METRICS

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairedDifference:
    """Differences of two scores over the cases where both are defined.

    ``low`` and ``high`` bound the 95 % bootstrap interval of the mean, ``p_value`` is that of the two-sided Wilcoxon
    signed-rank test. With fewer than two pairs the interval is NaN, with none everything is.
    """

    mean: float
    median: float
    low: float
    high: float
    p_value: float
    count: int
    undefined: int


def paired_difference(baseline: ArrayLike, other: ArrayLike, *, seed: int = 0) -> PairedDifference:
    """Statistics of ``other - baseline``, two lists of scores of the same cases in the same order.

    A pair with a NaN on either side is left out and counted as undefined. Equal inputs give equal results.
    """
    differences = np.asarray(other, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    assert differences.ndim == 1, f"scores of shape {differences.shape}"
    defined = differences[~np.isnan(differences)]
    low, high = bootstrap_interval(defined, seed=seed)
    return PairedDifference(
        mean=float(defined.mean()) if len(defined) else math.nan,
        median=float(np.median(defined)) if len(defined) else math.nan,
        low=low,
        high=high,
        p_value=signed_rank_p_value(defined),
        count=len(defined),
        undefined=len(differences) - len(defined),
    )


def bootstrap_interval(values: NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean by resampling the cases: bias-corrected and accelerated (Efron 1987)."""
    if len(values) < 2:
        return math.nan, math.nan
    # Differences that are equal but for their rounding leave the acceleration 0 / 0.
    if np.ptp(values) < 1e-12:
        return float(values[0]), float(values[0])
    result = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, batch=1000, method="BCa", rng=np.random.default_rng(seed)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def signed_rank_p_value(differences: NDArray[np.float64]) -> float:
    """Two-sided Wilcoxon signed-rank test, zeros dropped: 1 where every difference is 0, NaN where there is none."""
    if not len(differences):
        return math.nan
    if not np.any(differences):
        return 1.0
    result: Any = stats.wilcoxon(differences, zero_method="wilcox")
    return float(result.pvalue)


def paired_differences(baseline: pd.DataFrame, other: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """``other - baseline`` per metric and class, of two tables of case scores (see ``case_scores``) of the same cases.

    Columns class, metric, and the fields of ``PairedDifference``.
    """
    pairs = baseline.merge(other, on=["case_id", "class"], suffixes=("_baseline", "_other"), validate="one_to_one")
    assert len(pairs) == len(baseline) == len(other), "the two tables hold different cases or classes"
    rows: list[dict[str, str | float]] = []
    for metric in METRICS:
        for name in baseline["class"].unique():
            of_class = pairs[pairs["class"] == name]
            statistics = paired_difference(of_class[f"{metric}_baseline"], of_class[f"{metric}_other"], seed=seed)
            rows.append({"class": str(name), "metric": metric, **vars(statistics)})
    return pd.DataFrame(rows)
