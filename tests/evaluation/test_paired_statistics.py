"""Paired statistics against hand counts and all sign flips."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from aunet.evaluation.paired_statistics import paired_difference, signed_rank_p_value
from aunet.evaluation.sign_flip_test import infer_mean


def signed_rank_by_all_sign_flips(differences: np.ndarray) -> float:
    """Share of the sign patterns whose rank sum is at least as far from its mean; for differences without ties."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    sums = np.array([(ranks * (np.array(signs) > 0)).sum() for signs in product((-1, 1), repeat=len(ranks))])
    observed = (ranks * (differences > 0)).sum()
    return float(np.mean(np.abs(sums - ranks.sum() / 2) >= abs(observed - ranks.sum() / 2) - 1e-9))


def test_mean_and_median_are_of_the_second_minus_the_first() -> None:
    result = paired_difference([0.5, 0.6, 0.7], [0.6, 0.6, 1.0])

    assert result.mean == pytest.approx(0.4 / 3)
    assert result.median == pytest.approx(0.1)
    assert (result.patients, result.cases, result.undefined) == (3, 3, 0)


def test_a_pair_undefined_on_either_side_is_counted_and_left_out() -> None:
    result = paired_difference([0.5, math.nan, 0.7, 0.1], [0.6, 0.6, math.nan, 0.4])

    assert result.mean == pytest.approx(0.2)
    assert (result.patients, result.cases, result.undefined) == (2, 2, 2)


@pytest.mark.parametrize("seed", range(5))
def test_the_signed_rank_p_value_counts_all_sign_flips(seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.5, 1, size=9)

    assert signed_rank_p_value(differences) == pytest.approx(signed_rank_by_all_sign_flips(differences))


def test_five_gains_of_five_have_the_smallest_p_value_five_can_have() -> None:
    assert signed_rank_p_value(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == pytest.approx(2 / 2**5)


def test_the_cases_of_a_patient_are_averaged_before_anything_else() -> None:
    result = paired_difference([0.5] * 7, [0.6, 0.8, 0.5, 0.9, 0.7, 0.3, 0.4], list("aabcdef"))

    of_patients = np.array([0.2, 0.0, 0.4, 0.2, -0.2, -0.1])
    assert (result.patients, result.cases) == (6, 7)
    assert result.mean == pytest.approx(of_patients.mean())
    assert result.sd == pytest.approx(of_patients.std(ddof=1))
    assert result.p_value == infer_mean(of_patients).p_value
    assert result.wilcoxon_p_value == pytest.approx(stats.wilcoxon(of_patients).pvalue)


def test_a_patient_counts_with_the_cases_that_are_defined() -> None:
    result = paired_difference([0.0, 0.0, 0.0, 0.0], [0.1, math.nan, math.nan, 0.3], list("aabc"))

    assert result.mean == pytest.approx(0.2)
    assert (result.patients, result.cases, result.undefined) == (2, 2, 2)


def test_many_slices_of_few_patients_have_no_interval() -> None:
    random = np.random.default_rng(1)

    result = paired_difference(np.zeros(42), random.normal(0.1, 0.01, 42), [f"patient {k % 2}" for k in range(42)])

    assert result.patients == 2
    assert math.isnan(result.low)
    assert math.isnan(result.p_value)


def test_the_order_of_the_cases_changes_nothing() -> None:
    random = np.random.default_rng(3)
    baseline, other, patients = random.random(40), random.random(40), random.permutation(np.repeat(range(20), 2))
    order = random.permutation(40)

    first = paired_difference(baseline, other, patients.tolist())
    second = paired_difference(baseline[order], other[order], patients[order].tolist())

    assert vars(first) == pytest.approx(vars(second))
    assert first.p_value == second.p_value


def test_swapping_the_runs_changes_the_sign_alone() -> None:
    baseline, other = np.random.default_rng(4).random((2, 30))

    forward, backward = paired_difference(baseline, other), paired_difference(other, baseline)

    assert (forward.mean, forward.median) == (-backward.mean, -backward.median)
    assert forward.p_value == backward.p_value


def test_runs_that_score_alike_differ_by_nothing() -> None:
    result = paired_difference(np.linspace(0.5, 0.9, 6), np.linspace(0.5, 0.9, 6))

    assert (result.mean, result.median, result.low, result.high, result.p_value) == (0, 0, 0, 0, 1)
    assert result.wilcoxon_p_value == 1


def test_neither_test_judges_fewer_than_six_patients() -> None:
    five, six = (paired_difference(np.zeros(count), np.linspace(0.1, 0.2, count)) for count in (5, 6))

    assert math.isnan(five.p_value)
    assert math.isnan(five.wilcoxon_p_value)
    assert six.p_value == six.wilcoxon_p_value == pytest.approx(2 / 2**6)


def test_one_pair_has_a_mean_alone_and_no_pair_has_nothing() -> None:
    one, none = paired_difference([0.5], [0.6]), paired_difference([math.nan], [0.6])

    assert one.mean == pytest.approx(0.1)
    assert math.isnan(one.low)
    assert math.isnan(one.sd)
    assert math.isnan(none.mean)
    assert math.isnan(none.p_value)
    assert (none.patients, none.cases, none.undefined) == (0, 0, 1)
