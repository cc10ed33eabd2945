"""Calibration against a direct loop over bins, and closed forms."""

import numpy as np
import pytest

from aunet.metrics.calibration import brier_score, expected_calibration_error


def test_the_error_equals_a_loop_over_bins() -> None:
    random = np.random.default_rng(0)
    probability, bins = random.uniform(size=(6, 7, 8)), 10
    reference = random.uniform(size=probability.shape) < probability**2

    expected = 0.0
    for low in np.arange(bins) / bins:
        is_in = (probability >= low) & (probability < low + 1 / bins)
        expected += is_in.mean() * abs(reference[is_in].mean() - probability[is_in].mean())

    assert expected_calibration_error(probability, reference, bins) == pytest.approx(expected)
    assert brier_score(probability, reference) == pytest.approx(((probability - reference) ** 2).mean())


def test_certainty_that_is_right_costs_nothing_and_certainty_that_is_wrong_costs_all() -> None:
    reference = np.array([True, False, True])
    for score in (expected_calibration_error, brier_score):
        assert score(reference.astype(np.float32), reference) == 0
        assert score((~reference).astype(np.float32), reference) == 1


def test_frequencies_that_equal_the_probability_are_calibrated_and_not_sharp() -> None:
    reference = np.arange(100) % 4 == 0
    assert expected_calibration_error(np.full(100, 0.25), reference) == pytest.approx(0)
    assert brier_score(np.full(100, 0.25), reference) == pytest.approx(0.25 * 0.75)
