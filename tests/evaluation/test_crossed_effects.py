import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from aunet.evaluation.crossed_effects import FoldScores, mean_difference


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def symmetric(random: np.random.Generator, count: int = 20) -> NDArray[np.float64]:
    """Values without skewness, so that Hall's correction is 0."""
    half = random.normal(0.01, 0.03, count // 2)
    return np.concatenate([half, 2 * half.mean() - half])


def test_one_training_each_is_the_paired_t_test(random: np.random.Generator) -> None:
    baseline, other = symmetric(random), symmetric(random)
    other = baseline + symmetric(random)
    found = mean_difference([FoldScores(baseline[None], other[None])])

    expected = stats.ttest_rel(other, baseline)
    assert not found.speaks_of_models
    assert found.p_value() == pytest.approx(expected.pvalue)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval()), abs=1e-8)


def test_equivalence_of_one_training_each_is_that_of_statsmodels(random: np.random.Generator) -> None:
    baseline = random.normal(0.8, 0.1, 20)
    other = baseline + symmetric(random)
    found = mean_difference([FoldScores(baseline[None], other[None])])

    for margin in (0.002, 0.02, 0.05):
        assert found.equivalence_p_value(margin) == pytest.approx(ttost_paired(other, baseline, -margin, margin)[0])


def test_the_variance_is_the_closed_form_of_the_mean_squares(random: np.random.Generator) -> None:
    scores = random.normal(size=(5, 12))
    found = mean_difference([FoldScores(scores[:2], scores[2:])])

    differences = scores[2:].mean(axis=0) - scores[:2].mean(axis=0)
    runs = (scores[:2].mean(axis=1).var(ddof=1) * 1 + scores[2:].mean(axis=1).var(ddof=1) * 2) / 3
    rests = 0.0
    for arm in (scores[:2], scores[2:]):
        rests += np.square(arm - arm.mean(axis=0) - arm.mean(axis=1, keepdims=True) + arm.mean()).sum()
    factor = 1 / 2 + 1 / 3
    assert found.patients.variance == pytest.approx(differences.var(ddof=1) / 12)
    assert found.trainings.variance == pytest.approx(factor * runs)
    assert found.rest.variance == pytest.approx(factor * rests / 33 / 12)
    assert (found.patients.degrees, found.trainings.degrees, found.rest.degrees) == (11, 3, 33)
    excess = max(found.trainings.variance - found.rest.variance, 0)
    assert found.variance == pytest.approx(found.patients.variance + excess)


def test_many_patients_leave_the_t_test_of_the_trainings(random: np.random.Generator) -> None:
    trainings = random.normal(0, 0.01, (6, 1))
    scores = trainings + random.normal(0, 1e-7, (6, 500))
    found = mean_difference([FoldScores(scores[:3], scores[3:])])

    assert found.p_value() == pytest.approx(stats.ttest_ind(trainings[3:, 0], trainings[:3, 0]).pvalue, abs=0.004)


def test_equal_trainings_of_five_folds_are_the_t_test_of_the_folds(random: np.random.Generator) -> None:
    folds = [FoldScores(random.normal(size=(1, 8)), random.normal(0.3, 1, (1, 8))) for _ in range(5)]
    found = mean_difference(folds)

    assert found.speaks_of_models
    assert found.p_value() == pytest.approx(stats.ttest_1samp([f.differences.mean() for f in folds], 0).pvalue)


def test_the_interval_excludes_exactly_what_the_test_rejects(random: np.random.Generator) -> None:
    folds = [FoldScores(random.normal(size=(3, 9)), random.exponential(size=(2, 9))) for _ in range(2)]
    found = mean_difference(folds)

    for end in found.interval():
        assert found.p_value(end) == pytest.approx(0.05, abs=1e-6)


def test_exchanging_the_arms_mirrors_everything(random: np.random.Generator) -> None:
    first, second = random.exponential(size=(3, 15)), random.exponential(size=(4, 15))
    found, mirrored = (mean_difference([FoldScores(*arms)]) for arms in ((first, second), (second, first)))

    assert found.p_value() == pytest.approx(mirrored.p_value())
    assert found.interval() == pytest.approx(tuple(-end for end in reversed(mirrored.interval())))


def test_one_patient_has_a_difference_but_no_certainty(random: np.random.Generator) -> None:
    found = mean_difference([FoldScores(random.normal(size=(3, 1)), random.normal(size=(3, 1)))])

    assert math.isfinite(found.value)
    assert math.isnan(found.p_value())
    assert all(math.isnan(end) for end in found.interval())


def test_equal_scores_differ_by_exactly_0() -> None:
    scores = np.full((3, 8), 0.5)
    assert mean_difference([FoldScores(scores, scores)]).p_value() == 1
    assert mean_difference([FoldScores(scores, scores + 0.25)]).p_value() == 0


def test_the_spreads_are_those_that_were_simulated(random: np.random.Generator) -> None:
    patient, training, rest = 0.03, 0.01, 0.02
    estimates = []
    for _ in range(300):
        own = random.normal(0, patient, 30)
        arms = [random.normal(0, training, (4, 1)) + random.normal(0, rest, (4, 30)) for _ in range(2)]
        found = mean_difference([FoldScores(arms[0], arms[1] + own)])
        estimates.append([found.patient_sd**2, found.training_sd**2, found.rest_sd**2])

    assert np.sqrt(np.mean(estimates, axis=0)) == pytest.approx([patient, training, rest], rel=0.06)


def test_the_third_moment_is_fishers_unbiased_one(random: np.random.Generator) -> None:
    baseline, other = random.exponential(size=(2, 3, 12))
    found = mean_difference([FoldScores(baseline, other)])

    differences = other.mean(axis=0) - baseline.mean(axis=0)
    assert found.third_moment == pytest.approx(stats.kstat(differences, 3) / 12**2)
    assert found.patients.variance == pytest.approx(differences.var(ddof=1) / 12)
