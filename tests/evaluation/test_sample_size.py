import math

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from aunet.evaluation.sample_size import Spreads, patients_needed, power, trainings_needed

ONE_TRAINING = Spreads(0.03, math.nan, math.nan)


@pytest.mark.parametrize("patients", [6, 20, 100])
def test_power_of_two_given_trainings_is_that_of_the_t_test(patients: int) -> None:
    expected = TTestPower().power(0.01 / 0.03, patients, 0.05)
    assert power(0.01, ONE_TRAINING, patients, 1) == pytest.approx(expected)


def test_patients_of_two_given_trainings_are_those_of_the_t_test() -> None:
    expected = TTestPower().solve_power(0.01 / 0.03, power=0.8, alpha=0.05)
    assert patients_needed(ONE_TRAINING, 1) == math.ceil(expected)
    assert trainings_needed(ONE_TRAINING, 50) is None


def test_the_numbers_found_are_the_fewest_with_the_power() -> None:
    spreads = Spreads(0.02, 0.004, 0.01)
    patients, trainings = patients_needed(spreads, 5), trainings_needed(spreads, 60)

    assert patients is not None
    assert trainings is not None
    assert power(0.01, spreads, patients, 5) >= 0.8 > power(0.01, spreads, patients - 1, 5)
    assert power(0.01, spreads, 60, trainings) >= 0.8 > power(0.01, spreads, 60, trainings - 1)


def test_no_number_of_patients_makes_up_for_trainings_that_differ() -> None:
    assert patients_needed(Spreads(0.01, 0.02, 0.01), 3) is None
    assert trainings_needed(Spreads(0.2, 0.001, 0.01), 10) is None


def test_power_increases_with_patients_and_trainings() -> None:
    spreads = Spreads(0.03, 0.005, 0.02)
    assert np.all(np.diff([power(0.01, spreads, patients, 4) for patients in (5, 10, 50, 500)]) > 0)
    assert np.all(np.diff([power(0.01, spreads, 40, trainings) for trainings in (2, 3, 5, 20)]) > 0)


def test_a_spread_that_cannot_be_estimated_again_leaves_the_power_unknown() -> None:
    assert math.isnan(power(0.01, Spreads(0.03, 0.005, 0.02), 20, 1))
    assert math.isnan(power(0.01, ONE_TRAINING, 1, 1))
    assert trainings_needed(Spreads(math.nan, 0.005, math.nan), 1) is None


def test_a_difference_of_many_standard_errors_is_always_found() -> None:
    """Its other tail is too small for a number."""
    assert power(0.5, ONE_TRAINING, 20, 1) == 1
    assert patients_needed(Spreads(0.0005, math.nan, math.nan), 1) == 2
