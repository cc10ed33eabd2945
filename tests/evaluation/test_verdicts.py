"""The sentences of a comparison, from rows written by hand."""

import math
from typing import Any

import pandas as pd
import pytest

from aunet.evaluation.verdicts import verdicts

NAN = math.nan
START = "gate minus unet in spleen Dice is +0.012 (+0.002 to +0.022)"
CHANGE = f"{START}, 3 seeds, 40 patients: "


def verdict(**changes: Any) -> str:
    row = {"baseline": "unet", "arm": "gate", "metric": "dice", "form": "common cases", "class": "spleen"}
    row |= {"mean": 0.012, "low": 0.002, "high": 0.022, "p_value": 0.01, "holm_p_value": 0.02, "family": "primary"}
    row |= {"equivalence_p_value": NAN, "margin": 0.02, "patients": 40, "speaks_of_models": True}
    row |= {"baseline_trainings": 3, "other_trainings": 3, "folds": 1}
    [sentence] = verdicts(pd.DataFrame([row | changes]), changes.get("metric", "dice"))
    return sentence


@pytest.mark.parametrize(
    ("changes", "conclusion"),
    [
        ({}, "higher (corrected p 0.020)."),
        ({"holm_p_value": 0.05}, "no difference shown after the correction for the primary rows (p 0.010, corrected"),
        ({"p_value": 0.05, "holm_p_value": 0.05}, "no difference shown."),
        ({"equivalence_p_value": 0.04}, "higher (corrected p 0.020); equivalent within 0.02."),
        ({"equivalence_p_value": 0.05}, "higher (corrected p 0.020)."),
        ({"p_value": 0.6, "holm_p_value": 0.6, "equivalence_p_value": 0.05}, "no difference shown; equivalence within"),
        ({"p_value": 1e-5, "holm_p_value": 2e-5}, "higher (corrected p < 0.001)."),
        ({"p_value": NAN, "holm_p_value": NAN}, "too few patients for a test."),
        ({"speaks_of_models": False}, "higher (corrected p 0.020); this speaks of two trainings, not of two models."),
    ],
)
def test_the_conclusion_follows_the_corrected_p_and_the_equivalence(changes: dict[str, Any], conclusion: str) -> None:
    assert verdict(**changes).startswith(CHANGE + conclusion)


def test_a_conclusion_is_written_to_its_end() -> None:
    assert verdict(holm_p_value=0.05).endswith("for the primary rows (p 0.010, corrected 0.050).")
    unequal = verdict(p_value=0.6, holm_p_value=0.6, equivalence_p_value=0.05)
    assert unequal.endswith("no difference shown; equivalence within 0.02 not shown either.")


def test_a_loss_is_lower_and_a_distance_has_its_own_digits() -> None:
    assert ": lower (corrected p 0.020)." in verdict(mean=-0.012)
    sentence = verdict(metric="hd95_mm", mean=-1.5, low=-2.125, high=-1.0)
    assert sentence.startswith("gate minus unet in spleen HD95 is -1.50 (-2.12 to -1.00), ")


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({"baseline_trainings": 1, "other_trainings": 1, "patients": 1}, "1 seed each, 1 patient"),
        ({"baseline_trainings": 1}, "1 and 3 seeds, 40 patients"),
        ({"folds": 5}, "3 trainings, 40 patients"),
        ({"folds": 5, "other_trainings": 4}, "3 and 4 trainings, 40 patients"),
        ({"folds": 5, "baseline_trainings": 1, "other_trainings": 1}, "1 training each, 40 patients"),
    ],
)
def test_the_sizes_name_seeds_or_trainings_over_folds(changes: dict[str, Any], sizes: str) -> None:
    assert verdict(**changes).startswith(f"{START}, {sizes}: ")


def test_an_interval_that_is_not_known_is_left_out() -> None:
    assert verdict(low=NAN, high=NAN).startswith("gate minus unet in spleen Dice is +0.012, 3 seeds")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"baseline_trainings": 0}, "as no training of unet finished."),
        ({"other_trainings": 0}, "as no training of gate finished."),
        ({"patients": 0}, "as no test case is defined by all trainings."),
    ],
)
def test_nothing_is_said_without_a_training_or_a_case(changes: dict[str, Any], reason: str) -> None:
    assert verdict(**changes) == f"gate against unet, spleen: nothing can be said, {reason}"
