"""Paired statistics against hand counts, the normal approximation and all sign flips."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest

from aunet.metrics.case_scores import COLUMNS, METRICS, NUMBERS
from aunet.metrics.paired_statistics import paired_difference, paired_differences, signed_rank_p_value


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
    assert (result.count, result.undefined) == (3, 0)


def test_a_pair_undefined_on_either_side_is_counted_and_left_out() -> None:
    result = paired_difference([0.5, math.nan, 0.7, 0.1], [0.6, 0.6, math.nan, 0.4])

    assert result.mean == pytest.approx(0.2)
    assert (result.count, result.undefined) == (2, 2)


@pytest.mark.parametrize("seed", range(5))
def test_the_p_value_counts_all_sign_flips(seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.5, 1, size=9)

    assert signed_rank_p_value(differences) == pytest.approx(signed_rank_by_all_sign_flips(differences))


def test_five_gains_of_five_have_the_smallest_p_value_five_can_have() -> None:
    assert signed_rank_p_value(np.array([0.1, 0.2, 0.3, 0.4, 0.5])) == pytest.approx(2 / 2**5)


def test_the_interval_of_many_cases_is_that_of_the_normal_distribution() -> None:
    differences = np.random.default_rng(1).normal(0.1, 1, size=500)

    result = paired_difference(np.zeros(500), differences)

    half_width = 1.96 * differences.std(ddof=1) / math.sqrt(500)
    assert result.low == pytest.approx(differences.mean() - half_width, abs=0.1 * half_width)
    assert result.high == pytest.approx(differences.mean() + half_width, abs=0.1 * half_width)


def test_the_interval_leans_towards_the_long_tail() -> None:
    differences = np.random.default_rng(2).exponential(size=40)

    result = paired_difference(np.zeros(40), differences)

    assert result.high - result.mean > result.mean - result.low > 0


def test_equal_seeds_give_equal_intervals() -> None:
    baseline, other = np.random.default_rng(3).random((2, 12))

    assert paired_difference(baseline, other, seed=5) == paired_difference(baseline, other, seed=5)
    assert paired_difference(baseline, other, seed=5) != paired_difference(baseline, other, seed=6)


def test_swapping_the_runs_changes_the_sign_alone() -> None:
    baseline, other = np.random.default_rng(4).random((2, 12))

    forward, backward = paired_difference(baseline, other), paired_difference(other, baseline)

    assert (forward.mean, forward.median) == (-backward.mean, -backward.median)
    assert forward.p_value == backward.p_value


def test_runs_that_score_alike_differ_by_nothing() -> None:
    result = paired_difference([0.5, 0.7, 0.9], [0.5, 0.7, 0.9])

    assert (result.mean, result.median, result.low, result.high, result.p_value) == (0, 0, 0, 0, 1)


def test_differences_equal_but_for_rounding_have_an_interval_of_one_point() -> None:
    result = paired_difference([0.1, 0.2, 0.7], [0.2, 0.3, 0.8])

    assert result.low == pytest.approx(0.1)
    assert result.high == pytest.approx(0.1)


def test_one_pair_has_no_interval_and_no_pair_has_nothing() -> None:
    one, none = paired_difference([0.5], [0.6]), paired_difference([math.nan], [0.6])

    assert one.mean == pytest.approx(0.1)
    assert math.isnan(one.low)
    assert math.isnan(none.mean)
    assert math.isnan(none.p_value)
    assert (none.count, none.undefined) == (0, 1)


def scores_of(dices: dict[tuple[str, str], float]) -> pd.DataFrame:
    rows = [
        {"case_id": case_id, "patient": case_id, "class": name, **dict.fromkeys(NUMBERS, 1.0), "dice": value}
        for (case_id, name), value in dices.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_cases_are_paired_by_name_not_by_row() -> None:
    baseline = scores_of({("a", "spleen"): 0.1, ("b", "spleen"): 0.9, ("a", "liver"): 0.5, ("b", "liver"): 0.5})
    other = scores_of({("b", "liver"): 0.6, ("b", "spleen"): 0.9, ("a", "spleen"): 0.2, ("a", "liver"): 0.6})

    table = paired_differences(baseline, other).set_index(["metric", "class"])

    assert list(table.index) == [(metric, name) for metric in METRICS for name in ("spleen", "liver")]
    assert table.loc[("dice", "spleen"), "mean"] == pytest.approx(0.05)
    assert table.loc[("dice", "liver"), "low"] == pytest.approx(0.1)
    assert table.loc[("recall", "liver"), "p_value"] == 1
