"""Family-wise error and power of a comparison's families, with 8 and 12 patients; the numbers are printed."""

import sys

import numpy as np
import pandas as pd
import pytest

from aunet.evaluation.families import correct_by_family
from aunet.evaluation.sign_flip_test import infer_mean

CLASSES, METRICS = 3, 9
SIMULATIONS = 400


def corrected(random: np.random.Generator, patients: int, shift: float) -> pd.DataFrame:
    """Return the corrected rows of one comparison whose true difference is ``shift`` sds in every metric and class.

    Metrics of one class correlate by 0.7, classes by 0.3.
    """
    of_patient, of_class = random.normal(size=(patients, 1, 1)), random.normal(size=(patients, 1, CLASSES))
    own = random.normal(size=(patients, METRICS, CLASSES))
    scores = np.sqrt(0.3) * of_patient + np.sqrt(0.4) * of_class + np.sqrt(0.3) * own + shift
    rows = [
        {"arm": "gate", "metric": "dice" if metric == 0 else f"other {metric}", "form": "common cases"}
        | {"p_value": infer_mean(scores[:, metric, number]).p_value}
        for metric in range(METRICS)
        for number in range(CLASSES)
    ]
    return correct_by_family(pd.DataFrame(rows))


def rates(patients: int, shift: float) -> dict[str, float]:
    """Return in how many % of comparisons a family claims any difference, and with all rows in one family."""
    found = [corrected(np.random.default_rng([patients, seed]), patients, shift) for seed in range(SIMULATIONS)]
    claims = {
        "primary": [rows.loc[rows["family"] == "primary", "holm_p_value"].min() < 0.05 for rows in found],
        "secondary": [rows.loc[rows["family"] == "secondary", "holm_p_value"].min() < 0.05 for rows in found],
        "primary, of all rows": [
            rows.loc[rows["family"] == "primary", "holm_all_p_value"].min() < 0.05 for rows in found
        ],
        "without correction": [rows["p_value"].min() < 0.05 for rows in found],
    }
    return {name: 100 * float(np.mean(of_name)) for name, of_name in claims.items()}


@pytest.mark.slow
@pytest.mark.parametrize("patients", [8, 12])
def test_each_family_claims_a_difference_that_is_not_there_in_at_most_5_percent(
    patients: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rates(patients, 0.0)

    with capsys.disabled():
        sys.stdout.write(f"\nFamily-wise error (%), {patients} patients: {found} ")
    # Two standard errors of a rate of 5 % over the simulations.
    assert max(found["primary"], found["secondary"]) <= 5 + 200 * np.sqrt(0.05 * 0.95 / SIMULATIONS)
    assert found["without correction"] > 15


@pytest.mark.slow
def test_the_primary_family_shows_with_8_patients_what_all_rows_together_hide(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = rates(8, 1.5)

    with capsys.disabled():
        sys.stdout.write(f"\nPower (%), 8 patients, a difference of 1.5 sd: {found} ")
    assert found["primary"] > 60
    assert found["primary, of all rows"] < 5
