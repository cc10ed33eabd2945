"""The effect of one model against another on the same patients: its size, its certainty and its equivalence to none.

All functions take a tidy table of scores, a row per value, with the columns of ``TIDY``. An arm holds all trainings
that differ in nothing but the seed and the fold; an effect is a mean difference of two arms (``crossed_effects``). With
one training per arm the certainty is that of the sign-flip test over patients, and it speaks of these two trainings.

The probability that a claim "A is better than B" is false (Christodoulou et al. 2025, "False promises in medical
imaging AI?", arXiv 2505.04720): under a flat prior of the true difference and log s, the posterior of the true
difference is d + s / sqrt(n) times Student's t with n - 1 degrees of freedom (Gelman et al., Bayesian Data Analysis,
3.2), so that P(true difference has the other sign than d) = t_{n-1}(-|d| sqrt(n) / s), half the two-sided p value. With
several trainings, the p value adds the chance of the training.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aunet.evaluation.crossed_effects import FoldScores, MeanDifference, mean_difference, two_one_sided_tests
from aunet.evaluation.families import MAIN_FORM, PRIMARY, correct_by_family
from aunet.evaluation.sign_flip_test import FEWEST, KnownInferences, SignFlipTest

Array = NDArray[np.float64]

TIDY = ("metric", "form", "class", "arm", "seed", "fold", "case", "patient", "value")
# Dice points within which two models count as equivalent by default: twice the seed spread of 0.01.
MARGIN = 0.02

# Shows the progress over the rows.
Shown = Callable[[Sequence[tuple[str, ...]]], Iterable[tuple[str, ...]]]


@dataclass(frozen=True)
class Effect:
    """The mean difference of two arms in one metric and class, over the cases that all their trainings define.

    Attributes:
        mean: over the patients, of the difference of the means over the trainings.
        low: lower end of the 95 % interval.
        high: upper end.
        p_value: of the test that the interval inverts.
        equivalence_p_value: of two one-sided tests against ± margin; NaN without a margin.
        false_claim: probability, under a flat prior, that the true difference has the other sign: half the p value, as
            the module explains.
        sd: of the patients' differences (n - 1).
        effect_size: mean / sd, corrected for few patients (Hedges 1981).
        share_higher: share of the patients whose difference is above 0, those at 0 counted half.
        correlation: of the two arms over the patients.
        patient_sd: of a patient's true difference, without the chance of its trainings; NaN of one patient.
        training_sd: of the mean of one training, the spread over seeds.
        rest_sd: of a patient's score in one training, around both.
        patients: number of patients included.
        cases: number of cases included.
        undefined: number of cases left out.
        baseline_trainings: number of trainings of the baseline, of the folds that both arms have if there are any.
        other_trainings: the same of the other arm.
        folds: number of folds that both arms have.
        speaks_of_models: whether the certainty includes the chance of training, not that of the patients alone.
    """

    mean: float
    low: float
    high: float
    p_value: float
    equivalence_p_value: float
    false_claim: float
    sd: float
    effect_size: float
    share_higher: float
    correlation: float
    patient_sd: float
    training_sd: float
    rest_sd: float
    patients: int
    cases: int
    undefined: int
    baseline_trainings: int
    other_trainings: int
    folds: int
    speaks_of_models: bool


_NUMBERS = tuple(of.name for of in fields(Effect) if of.type is float)

# A row of ``effects``: the fields of ``Effect``, with names and corrections. A class body could not name "class".
EffectRow = TypedDict(
    "EffectRow",
    {
        "baseline": str,
        "arm": str,
        "metric": str,
        "form": str,
        "class": str,
        "mean": float,
        "low": float,
        "high": float,
        "p_value": float,
        "equivalence_p_value": float,
        "false_claim": float,
        "sd": float,
        "effect_size": float,
        "share_higher": float,
        "correlation": float,
        "patient_sd": float,
        "training_sd": float,
        "rest_sd": float,
        "patients": int,
        "cases": int,
        "undefined": int,
        "baseline_trainings": int,
        "other_trainings": int,
        "folds": int,
        "speaks_of_models": bool,
        "margin": float,
        "family": str,
        "holm_p_value": float,
        "holm_all_p_value": float,
    },
)


def effects(
    table: pd.DataFrame,
    arms: Sequence[str],
    margins: dict[str, float] | None = None,
    shown: Shown = iter,
    primary: Collection[str] = PRIMARY,
    known: KnownInferences | None = None,
) -> pd.DataFrame:
    """Return the effects of all other ``arms`` against the first: a row per arm, metric, form and class.

    Columns: baseline, arm, metric, form, class, the fields of ``Effect``, margin, and those of
    ``families.correct_by_family``. An arm without scores has rows of NaN, so that it is never dropped.

    Args:
        table: with the columns of ``TIDY``.
        arms: names, the baseline first.
        margins: of equivalence, by metric.
        shown: may show the progress over the rows.
        primary: metrics of the primary family.
        known: keeps the sign-flip tests, for other tables of the same differences.
    """
    rows, known = list[dict[str, object]](), known or KnownInferences()
    kinds = [tuple(map(str, kind)) for kind in table[["metric", "form", "class"]].drop_duplicates().to_numpy()]
    found = table.groupby(["metric", "form", "class", "arm"], sort=False)
    groups = dict(iter(found))
    baseline = arms[0]
    nothing: pd.DataFrame = table.iloc[:0]
    for metric, form, of_class, arm in shown([(*kind, arm) for arm in arms[1:] for kind in kinds]):
        first = groups.get((metric, form, of_class, baseline), nothing)
        other = groups.get((metric, form, of_class, arm), nothing)
        margin = (margins or {}).get(metric, math.nan)
        names = {"baseline": baseline, "arm": arm, "metric": metric, "form": form, "class": of_class}
        rows.append({**names, **vars(paired_effect(first, other, margin, known)), "margin": margin})
    columns = ["baseline", "arm", "metric", "form", "class", *(of.name for of in fields(Effect)), "margin"]
    return correct_by_family(pd.DataFrame(rows, columns=columns), primary)


def effect_rows(table: pd.DataFrame, metric: str, form: str = MAIN_FORM) -> list[EffectRow]:
    """Return the rows of ``effects`` in one metric and form."""
    chosen = table.loc[(table["metric"] == metric) & (table["form"] == form)]
    return cast(list[EffectRow], chosen.to_dict("records"))


def paired_effect(
    baseline: pd.DataFrame, other: pd.DataFrame, margin: float = math.nan, known: KnownInferences | None = None
) -> Effect:
    """Return the effect of ``other`` against ``baseline``, tidy tables of one metric and class, one arm each.

    A case that any training leaves undefined is left out and counted, so that all trainings are judged on the same
    cases. Results do not depend on the order of the rows.
    """
    folds, cases, undefined = _fold_scores(baseline, other)
    compared = set(baseline["fold"]) & set(other["fold"]) or {*baseline["fold"], *other["fold"]}
    trainings = [
        len(of_arm.loc[of_arm["fold"].isin(list(compared)), ["seed", "fold"]].drop_duplicates())
        for of_arm in (baseline, other)
    ]
    patients = sum(fold.differences.size for fold in folds)
    counts: dict[str, int] = {
        "patients": patients,
        "cases": cases,
        "undefined": undefined,
        "baseline_trainings": trainings[0],
        "other_trainings": trainings[1],
        "folds": len(folds),
    }
    if not patients:
        return Effect(**dict.fromkeys(_NUMBERS, math.nan), **counts, speaks_of_models=False)
    estimate = mean_difference(folds)
    differences = np.concatenate([fold.differences for fold in folds])
    low, high, p_value, equivalence = _certainty(estimate, differences, margin, known or KnownInferences())
    sd = float(differences.std(ddof=1)) if patients > 1 else math.nan
    return Effect(
        mean=estimate.value,
        low=low,
        high=high,
        p_value=p_value,
        equivalence_p_value=equivalence,
        false_claim=p_value / 2,
        sd=sd,
        effect_size=_hedges(estimate.value, sd, patients),
        share_higher=float(np.mean((np.sign(differences) + 1) / 2)),
        correlation=_correlation(folds),
        patient_sd=estimate.patient_sd,
        training_sd=estimate.training_sd,
        rest_sd=estimate.rest_sd,
        **counts,
        speaks_of_models=estimate.speaks_of_models,
    )


def _certainty(
    estimate: MeanDifference, differences: Array, margin: float, known: KnownInferences
) -> tuple[float, float, float, float]:
    """Return both ends of the interval, the p of no difference and that of no equivalence."""
    if len(differences) < FEWEST:
        return math.nan, math.nan, math.nan, math.nan
    if estimate.speaks_of_models:
        equivalence = math.nan if math.isnan(margin) else estimate.equivalence_p_value(margin)
        return *estimate.interval(), estimate.p_value(), equivalence
    sorted_differences = differences[np.lexsort((differences, np.abs(differences)))]
    test = SignFlipTest(sorted_differences)
    inference = known.infer(test)
    equivalence = math.nan if math.isnan(margin) else two_one_sided_tests(estimate.value, margin, test.p_value)
    return inference.low, inference.high, inference.p_value, equivalence


def _fold_scores(baseline: pd.DataFrame, other: pd.DataFrame) -> tuple[list[FoldScores], int, int]:
    """Return the scores of the folds that both arms have, and the numbers of cases included and left out."""
    folds: list[FoldScores] = []
    cases = undefined = 0
    for fold in sorted(set(baseline["fold"]) & set(other["fold"])):
        wide = pd.concat(
            [
                of_arm[of_arm["fold"] == fold].pivot(index=["patient", "case"], columns="seed", values="value")
                for of_arm in (baseline, other)
            ],
            axis=1,
            keys=["baseline", "other"],
        )
        defined: pd.DataFrame = wide.dropna().sort_index()
        cases, undefined = cases + len(defined), undefined + len(wide) - len(defined)
        if len(defined):
            means: Any = defined.groupby(level="patient").mean()
            folds.append(FoldScores(*(means[arm].to_numpy(dtype=np.float64).T for arm in ("baseline", "other"))))
    return folds, cases, undefined


def _hedges(mean: float, sd: float, patients: int) -> float:
    if patients < 3 or sd == 0:  # the correction of two is 0
        return math.nan
    return mean / sd * (1 - 3 / (4 * (patients - 1) - 1))


def _correlation(folds: Sequence[FoldScores]) -> float:
    baseline, other = (
        np.concatenate([scores.mean(axis=0) for scores in of_arm])
        for of_arm in ([fold.baseline for fold in folds], [fold.other for fold in folds])
    )
    if min(np.ptp(baseline), np.ptp(other)) == 0:
        return math.nan
    return float(np.corrcoef(baseline, other)[0, 1])
