"""Tables for planning, cell by cell; the numbers come from functions with tests of their own."""

import math
from typing import Any

import pandas as pd

from aunet.evaluation.planning_tables import MORE, planning_table, ranking_table
from aunet.evaluation.sample_size import Spreads, patients_needed, trainings_needed

NAN = math.nan


def effect_row(**changes: Any) -> dict[str, Any]:
    numbers = {"patients": 100, "baseline_trainings": 3, "other_trainings": 3}
    sds = {"patient_sd": 0.03, "training_sd": 0.001, "rest_sd": 0.02}
    return {"metric": "dice", "form": "common cases", "arm": "gate", "class": "spleen", **sds, **numbers, **changes}


def cells(**changes: Any) -> tuple[str, ...]:
    ((row,),) = planning_table(pd.DataFrame([effect_row(**changes)])).groups
    return row


def test_a_plan_names_spreads_and_the_fewest_patients_and_seeds() -> None:
    spreads = Spreads(0.03, 0.001, 0.02)
    numbers = patients_needed(spreads, 3), trainings_needed(spreads, 100), patients_needed(spreads, 10)
    assert len({*numbers, None}) == 4

    assert cells() == ("gate", "spleen", "0.030", "0.001", "0.020", *map(str, numbers))
    table = planning_table(pd.DataFrame([effect_row()]))
    assert table.columns == (
        "Model",
        "Class",
        "Patient sd",
        "Seed sd",
        "Rest sd",
        "Patients",
        "or seeds",
        f"Patients, {MORE} seeds",
    )
    assert table.title == "To show a difference of 0.01 in Dice with a power of 80 %"


def test_a_plan_for_uneven_seeds_is_for_the_fewer_and_two_are_enough() -> None:
    expected = f"{patients_needed(Spreads(0.03, 0.001, 0.02), 2):,}"
    assert cells(baseline_trainings=2)[5] == cells(other_trainings=2)[5] == expected
    assert cells(baseline_trainings=1)[5:] == ("unknown", *cells()[6:])


def test_a_plan_of_single_trainings_speaks_of_patients_alone() -> None:
    """Oracle: without a spread of trainings this is the paired t test of about (z.975 + z.8)^2 sd^2 / d^2 patients."""
    row = cells(training_sd=NAN, rest_sd=NAN, patient_sd=0.2, baseline_trainings=1, other_trainings=1)
    assert row[2:5] == ("0.200", "–", "–")
    assert row[6:] == ("unknown", "unknown")
    assert "," in row[5]
    assert abs(int(row[5].replace(",", "")) - (1.95996 + 0.84162) ** 2 * 0.2**2 / 0.01**2) < 5


def test_a_plan_without_a_spread_or_a_patient_is_unknown_or_missing() -> None:
    assert cells(patient_sd=NAN)[2:] == ("–", "0.001", "0.020", "unknown", "unknown", "unknown")
    assert cells(patients=0) == ("gate", "spleen", "missing", "–", "–", "–", "–", "–")
    assert cells(training_sd=1.0)[5:] == ("∞", "∞", "∞")


def test_a_spread_of_fewer_patients_than_a_test_needs_is_no_basis_of_a_plan() -> None:
    assert cells(patients=5)[2:] == ("0.030", "0.001", "0.020", "unknown", "unknown", "unknown")
    assert "unknown" not in cells(patients=6)


def test_plans_are_of_one_metric_over_the_common_cases() -> None:
    rows = [effect_row(metric="nsd"), effect_row(form="penalised"), effect_row(arm="a"), effect_row(arm="b")]
    ((first, second),) = planning_table(pd.DataFrame(rows)).groups
    assert (first[0], second[0]) == ("a", "b")
    ((of_nsd,),) = planning_table(pd.DataFrame(rows), "nsd").groups
    assert of_nsd[0] == "gate"


def test_ranks_are_shown_with_their_range_and_a_model_without_any_as_missing() -> None:
    ranks = {"arm": ["unet", "gate", "failed"], "rank": [1.5, 2.0, NAN], "rank_low": [1.0, 1.5, NAN]}
    ranks |= {"rank_high": [2.0, 3.0, NAN], "share_first": [0.625, 0.0, NAN], "kendall": [0.456, NAN, NAN]}
    table = ranking_table({"spleen": pd.DataFrame(ranks), "aorta": pd.DataFrame(ranks)[:1]}, "Dice")

    assert table.columns == ("Class", "Model", "Rank", "95 % of draws", "First in", "Kendall's tau")
    assert table.groups == (
        (
            ("spleen", "unet", "1.5", "1–2", "62%", "0.46"),
            ("", "gate", "2", "1.5–3", "0%", "–"),
            ("", "failed", "missing", "–", "–", "–"),
            ("aorta", "unet", "1.5", "1–2", "62%", "0.46"),
        ),
    )
    assert table.title == "Ranks by Dice, and their stability if patients and trainings are drawn again"
