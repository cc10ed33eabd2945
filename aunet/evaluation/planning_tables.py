"""Tables for planning: how many patients or seeds would show a difference, and how far a ranking can be trusted."""

import math
from collections.abc import Mapping

import pandas as pd

from aunet.evaluation.arm_tables import MISSING, number_text
from aunet.evaluation.effects import EffectRow, effect_rows
from aunet.evaluation.sample_size import DIFFERENCE, Spreads, patients_needed, trainings_needed
from aunet.evaluation.sign_flip_test import FEWEST
from aunet.reporting.tables import PaperTable, TableRow

UNKNOWN = "unknown"
# Seeds per model of a thorough study, for planning one.
MORE = 10


def planning_table(rows: pd.DataFrame, metric: str = "dice") -> PaperTable:
    """Return how many patients, or trainings per model, would show a difference of 0.01 with a power of 80 %."""
    return PaperTable(
        title=f"To show a difference of {DIFFERENCE} in Dice with a power of 80 %",
        columns=(
            "Model",
            "Class",
            "Patient sd",
            "Seed sd",
            "Rest sd",
            "Patients",
            "or seeds",
            f"Patients, {MORE} seeds",
        ),
        groups=(tuple(_planning_cells(row) for row in effect_rows(rows, metric)),),
        notes=(
            f"Patients: with the trainings at hand, or with {MORE} seeds per model; seeds: per model, with the patients"
            " at hand; ∞: no number suffices, as the other spread is too large. Patient sd: of a patient's difference"
            " between the models; seed sd: of a training's mean; rest sd: of a patient in one training. Unknown: a plan"
            f" needs {FEWEST} patients, as a test does, and for seeds two of a model; patients for the trainings at"
            " hand need two seeds of each.",
        ),
    )


def ranking_table(ranks: Mapping[str, pd.DataFrame], metric: str) -> PaperTable:
    """Return the table of ``ranking.ranking_stability`` by class."""
    rows: list[tuple[str, ...]] = []
    for of_class, found in ranks.items():
        rows += [
            (of_class if number == 0 else "", *_rank_cells(row)) for number, row in enumerate(found.to_dict("records"))
        ]
    return PaperTable(
        title=f"Ranks by {metric}, and their stability if patients and trainings are drawn again",
        columns=("Class", "Model", "Rank", "95 % of draws", "First in", "Kendall's tau"),
        groups=(tuple(rows),),
        notes=(
            "1,000 draws with replacement. Kendall's tau: mean rank correlation with the order found; 1 is stable.",
        ),
    )


def _planning_cells(row: EffectRow) -> tuple[str, ...]:
    names = (str(row["arm"]), str(row["class"]))
    if not row["patients"]:
        return (*names, MISSING, *["–"] * 5)
    spreads = Spreads(row["patient_sd"], row["training_sd"], row["rest_sd"])
    sds = [number_text(value, ".3f") for value in (spreads.patient, spreads.training, spreads.rest)]
    if math.isnan(spreads.patient) or row["patients"] < FEWEST:
        return (*names, *sds, *[UNKNOWN] * 3)
    trainings = min(row["baseline_trainings"], row["other_trainings"])
    if math.isnan(spreads.training):
        return (*names, *sds, _count(patients_needed(spreads, trainings)), UNKNOWN, UNKNOWN)
    return (
        *names,
        *sds,
        UNKNOWN if trainings < 2 else _count(patients_needed(spreads, trainings)),
        _count(trainings_needed(spreads, row["patients"])),
        _count(patients_needed(spreads, MORE)),
    )


def _count(number: int | None) -> str:
    return "∞" if number is None else f"{number:,}"


def _rank_cells(row: TableRow) -> tuple[str, ...]:
    if math.isnan(row["rank"]):
        return (str(row["arm"]), MISSING, "–", "–", "–")
    return (
        str(row["arm"]),
        f"{row['rank']:g}",
        f"{row['rank_low']:g}–{row['rank_high']:g}",
        f"{row['share_first']:.0%}",
        number_text(row["kendall"], ".2f"),
    )
