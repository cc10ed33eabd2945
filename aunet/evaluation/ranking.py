"""The stability of a ranking: how often the order of the models survives another draw of patients and trainings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 1000


def ranking_stability(
    table: pd.DataFrame, arms: Sequence[str], is_lower_better: bool, *, resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Return how stable the ranks of ``arms`` are if patients and trainings are drawn again with replacement.

    Columns: arm, mean, rank (1 is best), rank_low and rank_high (2.5 and 97.5 % of the resamples), share_first, and
    kendall, the mean rank correlation of the resamples' order with the observed one (Wiesenfarth et al. 2021). Patients
    are the same for all arms, trainings are drawn per arm. Arms without a score have NaN.

    Args:
        table: of one metric, form and class, with the columns of ``effects.TIDY``.
        arms: names, in the order of the result.
        is_lower_better: for distances.
        resamples: number of draws.
        seed: of the draws.
    """
    scores = _complete_scores(table, arms)
    present = [arm for arm in arms if arm in scores]
    result = pd.DataFrame({"arm": list(arms)}).set_index("arm")
    if not present or scores[present[0]].shape[1] == 0:
        empty = dict.fromkeys(("mean", "rank", "rank_low", "rank_high", "share_first", "kendall"), float("nan"))
        return result.assign(**empty).reset_index()
    sign = 1 if is_lower_better else -1
    observed = np.array([scores[arm].mean() for arm in present])
    order = pd.Series(sign * observed).rank().to_numpy()
    means = _resampled_means([scores[arm] for arm in present], resamples, seed)
    ranks = pd.DataFrame(sign * means).rank(axis=1).to_numpy()
    kendall = np.nan if len(present) == 1 else float(_kendall(order, ranks).mean())
    found = pd.DataFrame(
        {
            "mean": observed,
            "rank": order,
            "rank_low": np.quantile(ranks, 0.025, axis=0, method="inverted_cdf"),
            "rank_high": np.quantile(ranks, 0.975, axis=0, method="inverted_cdf"),
            "share_first": (ranks == ranks.min(axis=1, keepdims=True)).mean(axis=0),
            "kendall": kendall,
        },
        index=pd.Index(present, name="arm"),
    )
    return result.join(found).reset_index()


def _complete_scores(table: pd.DataFrame, arms: Sequence[str]) -> dict[str, Array]:
    """Return the scores (trainings, patients) of each arm that has any, over the cases that all trainings define.

    The trainings of a seed over the folds count as one, which has scored every patient once.
    """
    present = [arm for arm in arms if arm in set(table["arm"])]
    wide = table.pivot(index=["patient", "case"], columns=["arm", "seed"], values="value").dropna()
    means: Any = wide.groupby(level="patient").mean()
    return {arm: means[arm].to_numpy(dtype=np.float64).T for arm in present}


def _resampled_means(scores: Sequence[Array], resamples: int, seed: int) -> Array:
    """Return the means (resamples, arms) of patients and trainings drawn with replacement."""
    random, patients = np.random.default_rng(seed), scores[0].shape[1]
    weights = random.multinomial(patients, [1 / patients] * patients, resamples) / patients
    columns: list[Array] = []
    for of_arm in scores:
        trainings = len(of_arm)
        drawn = random.multinomial(trainings, [1 / trainings] * trainings, resamples) / trainings
        columns.append(np.einsum("rt,tp,rp->r", drawn, of_arm, weights, optimize=True))
    return np.stack(columns, axis=1)


def _kendall(first: Array, second: Array) -> Array:
    """Return Kendall's tau-a of rankings (..., arms): pairs in the same order minus those in the other, of all."""
    one, other = np.triu_indices(first.shape[-1], k=1)
    signs = [np.sign(ranks[..., one] - ranks[..., other]) for ranks in (first, second)]
    return (signs[0] * signs[1]).mean(axis=-1)
