import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from aunet.evaluation.crossed_effects import FoldScores, mean_difference
from aunet.evaluation.effects import TIDY, effects, paired_effect
from aunet.evaluation.paired_statistics import paired_difference
from aunet.evaluation.planning_tables import planning_table


def tidy(arm: str, scores: NDArray[np.float64], patients: Sequence[str] | None = None, fold: int = 0) -> pd.DataFrame:
    """Rows of ``scores`` (seeds, cases); each case is a patient unless given."""
    rows = [
        (
            "dice",
            "common cases",
            "pancreas",
            arm,
            seed,
            fold,
            f"{fold}-{case}",
            (patients or [f"{fold}-{number}" for number in range(scores.shape[1])])[case],
            value,
        )
        for (seed, case), value in np.ndenumerate(scores)
    ]
    return pd.DataFrame(rows, columns=list(TIDY))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_one_training_each_is_the_sign_flip_test_and_speaks_of_trainings(random: np.random.Generator) -> None:
    baseline, other = random.normal(0.8, 0.1, 12), random.normal(0.82, 0.1, 12)
    found = paired_effect(tidy("unet", baseline[None]), tidy("gate", other[None]), 0.1)

    expected = paired_difference(baseline, other)
    assert (found.low, found.high, found.p_value) == (expected.low, expected.high, expected.p_value)
    assert not found.speaks_of_models
    assert math.isnan(found.training_sd)


def test_several_trainings_are_the_crossed_effects(random: np.random.Generator) -> None:
    baseline, other = random.normal(size=(2, 9)), random.normal(size=(3, 9))
    found = paired_effect(tidy("unet", baseline), tidy("gate", other), 1.0)

    expected = mean_difference([FoldScores(baseline, other)])
    assert found.speaks_of_models
    assert (found.mean, found.p_value) == pytest.approx((expected.value, expected.p_value()))
    assert found.equivalence_p_value == pytest.approx(expected.equivalence_p_value(1.0))
    assert found.false_claim == pytest.approx(expected.p_value() / 2)
    assert (found.patients, found.baseline_trainings, found.other_trainings) == (9, 2, 3)


def test_cases_of_a_patient_count_as_their_mean(random: np.random.Generator) -> None:
    scores = random.normal(size=(4, 16))
    patients = [f"p{case // 2}" for case in range(16)]
    found = paired_effect(tidy("unet", scores[:2], patients), tidy("gate", scores[2:], patients))

    means = scores.reshape(4, 8, 2).mean(axis=2)
    assert (found.patients, found.cases) == (8, 16)
    assert found.p_value == pytest.approx(mean_difference([FoldScores(means[:2], means[2:])]).p_value())


def test_a_case_that_one_training_leaves_undefined_is_left_out_for_all(random: np.random.Generator) -> None:
    scores = random.normal(size=(4, 10))
    scores[3, 4] = math.nan
    found = paired_effect(tidy("unet", scores[:2]), tidy("gate", scores[2:]))

    kept = np.delete(scores, 4, axis=1)
    assert (found.cases, found.undefined) == (9, 1)
    assert found.mean == pytest.approx(kept[2:].mean() - kept[:2].mean())


def test_folds_are_pooled(random: np.random.Generator) -> None:
    folds = [(random.normal(size=(2, 7)), random.normal(size=(2, 7))) for _ in range(3)]
    first, other = (
        pd.concat([tidy(str(arm), fold[arm], fold=number) for number, fold in enumerate(folds)]) for arm in (0, 1)
    )
    found = paired_effect(first, other)

    assert (found.patients, found.baseline_trainings) == (21, 6)
    assert found.p_value == pytest.approx(mean_difference([FoldScores(*fold) for fold in folds]).p_value())


def test_the_order_of_rows_does_not_matter(random: np.random.Generator) -> None:
    first, other = tidy("unet", random.normal(size=(2, 8))), tidy("gate", random.normal(size=(2, 8)))

    assert paired_effect(first, other) == paired_effect(first.sample(frac=1, random_state=0), other[::-1])


def test_an_arm_without_scores_is_shown_as_missing(random: np.random.Generator) -> None:
    table = pd.concat([tidy("unet", random.normal(size=(2, 8))), tidy("gate", random.normal(size=(2, 8)))])
    found = effects(table, ["unet", "frozen", "gate"]).set_index("arm")

    assert list(found.index) == ["frozen", "gate"]
    assert math.isnan(found.loc["frozen", "mean"])
    assert found.loc["frozen", "patients"] == 0
    assert found.loc["gate", "holm_p_value"] == found.loc["gate", "p_value"]


def test_one_patient_has_a_mean_without_an_interval(random: np.random.Generator) -> None:
    found = paired_effect(tidy("unet", random.normal(size=(2, 1))), tidy("gate", random.normal(size=(2, 1))))

    assert math.isfinite(found.mean)
    assert all(math.isnan(value) for value in (found.low, found.high, found.p_value, found.sd))


def test_the_effect_size_is_that_of_hedges(random: np.random.Generator) -> None:
    baseline, other = random.normal(size=(1, 20)), random.normal(0.5, 1, (1, 20))
    found = paired_effect(tidy("unet", baseline), tidy("gate", other))

    t = stats.ttest_rel(other[0], baseline[0]).statistic
    assert found.effect_size == pytest.approx(t / np.sqrt(20) * (1 - 3 / (4 * 19 - 1)))
    assert found.share_higher == np.mean(other > baseline)


def test_the_sd_over_one_patient_is_unknown_and_not_zero(random: np.random.Generator) -> None:
    of_one = [tidy(arm, random.normal(0.8, 0.1, (3, 1))) for arm in "ab"]
    assert math.isnan(paired_effect(*of_one).patient_sd)
    folds = [FoldScores(*random.normal(0.8, 0.1, (2, 1, 1))) for _ in range(3)]
    assert math.isnan(mean_difference(folds).patient_sd)


@pytest.mark.parametrize(
    ("baseline", "other", "patients", "numbers"),
    [
        (1, 3, 8, ("unknown", "∞", "∞")),  # seeds of one model that differ much: sd 0.5
        (3, 3, 1, ("unknown", "unknown", "unknown")),
    ],
)
def test_plans_of_uneven_seeds_and_of_one_patient_are_unknown(
    random: np.random.Generator, baseline: int, other: int, patients: int, numbers: tuple[str, ...]
) -> None:
    scores = [random.normal(0.8, 0.1, (count, patients)) for count in (baseline, other)]
    scores[1] += 0.5 * np.arange(other)[:, None]
    table = pd.concat([tidy(name, of_arm) for name, of_arm in zip("ab", scores, strict=True)])
    (row,) = planning_table(effects(table.assign(form="common cases"), ["a", "b"])).groups[0]
    assert row[-3:] == numbers
    assert (row[2] == "–") == (patients == 1)


@pytest.mark.parametrize(
    ("better", "worse", "patients", "published"),
    [((0.840, 0.087), (0.825, 0.104), 30, 0.20), ((0.821, 0.057), (0.815, 0.068), 21, 0.33)],
)
def test_the_papers_claims_carry_the_risks_that_were_published_for_them(
    better: tuple[float, float], worse: tuple[float, float], patients: int, published: float
) -> None:
    """Attention U-Net against the 10.4 M U-Net on CT-150's pancreas, and against the U-Net on CT-82.

    Scores with exactly the reported means and sds, and a correlation of 0.5 (arXiv 2505.04720).
    """
    quantiles = stats.norm.ppf((np.arange(patients) + 0.5) / patients)
    shuffled = np.random.default_rng(0).permutation(quantiles)
    basis, _ = np.linalg.qr(np.column_stack([np.ones(patients), quantiles, shuffled]))
    first, second = basis[:, 1:].T * np.sqrt(patients - 1)  # mean 0, sd 1, correlation 0
    of_better = better[0] + better[1] * first
    of_worse = worse[0] + worse[1] * (0.5 * first + np.sqrt(0.75) * second)
    found = paired_effect(tidy("worse", of_worse[None]), tidy("better", of_better[None]))

    assert found.correlation == pytest.approx(0.5)
    assert found.mean == pytest.approx(better[0] - worse[0])
    assert found.false_claim == pytest.approx(published, abs=0.005)
