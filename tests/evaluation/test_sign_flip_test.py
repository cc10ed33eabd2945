"""The sign-flip test against all patterns written out, and its interval against the test."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from aunet.evaluation import sign_flip_test
from aunet.evaluation.sign_flip_test import KnownInferences, SignFlipTest, infer_mean


def hall_statistic(values: np.ndarray) -> float:
    """Hall's (1992) transformation of t, from SciPy's skewness and the formula as printed."""
    n, skewness = len(values), float(stats.skew(values))
    t = values.mean() / values.std()
    return math.sqrt(n) * (t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / (6 * n))


def p_by_all_patterns(values: np.ndarray) -> float:
    found = [abs(hall_statistic(values * np.array(signs))) for signs in product((1, -1), repeat=len(values))]
    return float(np.mean(np.array(found) >= found[0] * (1 - 1e-9)))


@pytest.mark.parametrize("seed", range(5))
def test_p_is_the_share_of_all_sign_patterns_that_are_as_extreme(seed: int) -> None:
    values = np.random.default_rng(seed).exponential(size=8) - 0.6

    assert infer_mean(values).p_value == pytest.approx(p_by_all_patterns(values), abs=1e-12)


def test_p_of_symmetric_differences_is_near_that_of_the_plain_mean() -> None:
    values = np.random.default_rng(1).normal(0.4, 1, 12)

    plain = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue

    assert infer_mean(values).p_value == pytest.approx(plain, abs=0.02)


def test_drawn_patterns_give_the_p_of_all_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(0.4, 1, 16)
    exact = infer_mean(values)

    monkeypatch.setattr(sign_flip_test, "MOST_EXACT", 15)
    drawn = infer_mean(values)

    # Five standard errors of 100,000 draws.
    assert drawn.p_value == pytest.approx(exact.p_value, abs=5 * math.sqrt(0.1 * 0.9 / 100_000))
    assert drawn.low == pytest.approx(exact.low, abs=0.02)
    assert drawn.high == pytest.approx(exact.high, abs=0.02)


@pytest.mark.parametrize("n", [8, 30])
def test_the_p_of_another_mean_is_that_of_the_differences_less_it(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=n) - 0.8
    test = SignFlipTest(values)

    for null in (-0.5, 0.1, 0.6):
        assert test.p_value(null) == pytest.approx(infer_mean(values - null).p_value, abs=1e-12)


@pytest.mark.parametrize("n", [6, 8, 13])
def test_the_interval_ends_where_the_test_begins_to_reject(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    result = infer_mean(values)

    for end, outwards in ((result.low, -1e-4), (result.high, 1e-4)):
        assert infer_mean(values - (end - outwards)).p_value > 0.05
        assert infer_mean(values - (end + outwards)).p_value < 0.05


def test_the_interval_excludes_0_exactly_if_p_is_below_5_percent() -> None:
    random, excluded = np.random.default_rng(3), 0
    for number in range(300):
        values = (random.exponential(size=6 + number % 6) - 1) * 0.1 + 0.05
        result = infer_mean(values)
        assert (result.low > 0 or result.high < 0) == (result.p_value < 0.05)
        excluded += result.p_value < 0.05
    assert 30 < excluded < 270


@pytest.mark.parametrize("values", [[1, 0, 0, 0, 0.2, 0.1], [0.2, 0.1, 0, -0.05, 1, 0, 0.1, 0.1]])
def test_an_interval_that_ends_at_0_includes_it_despite_rounding(values: list[float]) -> None:
    for of_sign in (np.array(values), -np.array(values)):
        result = infer_mean(of_sign)

        assert result.p_value > 0.05
        assert result.low <= 0 <= result.high


def test_the_interval_of_many_differences_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(4).normal(0.1, 1, size=500)
    result = infer_mean(values)

    half_width = 1.96 * values.std(ddof=1) / math.sqrt(500)
    assert result.low == pytest.approx(values.mean() - half_width, abs=0.03 * half_width)
    assert result.high == pytest.approx(values.mean() + half_width, abs=0.03 * half_width)


def test_the_interval_leans_towards_the_long_tail() -> None:
    values = np.random.default_rng(2).exponential(size=16)
    result = infer_mean(values)

    assert result.high - values.mean() > 1.2 * (values.mean() - result.low) > 0


def test_drawn_patterns_never_give_a_p_of_0() -> None:
    assert infer_mean(np.random.default_rng(5).uniform(1, 2, 40)).p_value == pytest.approx(1 / 100_001)


def test_too_few_differences_have_neither_interval_nor_p() -> None:
    few, enough = np.linspace(0.1, 0.5, 5), np.linspace(0.1, 0.6, 6)

    assert all(math.isnan(value) for value in vars(infer_mean(few)).values())
    assert infer_mean(enough).p_value == pytest.approx(2 / 2**6)
    assert infer_mean(enough).low > 0


@pytest.mark.parametrize("n", [6, 20])
def test_no_difference_at_all_is_0_with_certainty(n: int) -> None:
    assert vars(infer_mean(np.zeros(n))) == {"low": 0, "high": 0, "p_value": 1}


def test_differences_equal_but_for_rounding_have_an_interval_of_one_point() -> None:
    values = np.array([0.2, 0.3, 0.8, 0.4, 0.5, 0.6]) - np.array([0.1, 0.2, 0.7, 0.3, 0.4, 0.5])
    result = infer_mean(values)

    assert (result.low, result.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert result.p_value == pytest.approx(2 / 2**6)


def test_one_patient_who_differs_shows_nothing() -> None:
    result = infer_mean(np.append(np.zeros(19), 1.0))

    assert result.p_value == 1
    assert result.low <= 0 < result.high


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_the_unit_of_the_differences_changes_no_p(scale: float) -> None:
    values = np.random.default_rng(6).exponential(size=10) - 0.5
    expected, result = infer_mean(values), infer_mean(scale * values)

    assert result.p_value == expected.p_value
    assert (result.low, result.high) == (pytest.approx(scale * expected.low), pytest.approx(scale * expected.high))


def test_a_large_gain_that_hardly_varies_is_found() -> None:
    values = 1.0 + 1e-6 * np.random.default_rng(7).normal(size=30)
    result = infer_mean(values)

    assert result.p_value == pytest.approx(1 / 100_001)
    assert 0.99999 < result.low < values.mean() < result.high < 1.00001


def test_equal_seeds_give_equal_results_and_opposite_signs_mirror_them() -> None:
    values = np.random.default_rng(8).normal(0.2, 1, 25)
    result, mirrored = infer_mean(values, seed=1), infer_mean(-values, seed=1)

    assert infer_mean(values, seed=1) == result != infer_mean(values, seed=2)
    assert mirrored.p_value == result.p_value
    assert (-mirrored.high, -mirrored.low) == (pytest.approx(result.low), pytest.approx(result.high))


def test_differences_are_tested_once_for_all_tables_of_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    values, others = np.random.default_rng(7).normal(0.3, 1, (2, 12))
    known, expected = KnownInferences(), infer_mean(values)
    assert known.infer(SignFlipTest(values)) == expected
    assert known.infer_mean(others) == infer_mean(others) != expected
    monkeypatch.setattr(SignFlipTest, "infer", lambda _: pytest.fail("tested again"))
    assert known.infer_mean(values.copy()) == expected
