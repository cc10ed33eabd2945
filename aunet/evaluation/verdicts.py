"""The effects in words: a sentence per model and class, for a summary or an abstract."""

import math

import pandas as pd

from aunet.evaluation.arm_tables import p_text
from aunet.evaluation.effects import EffectRow, effect_rows
from aunet.messages import counted
from aunet.metrics.registry import METRIC_OF

LEVEL = 0.05


def verdicts(rows: pd.DataFrame, metric: str = "dice") -> list[str]:
    """Return a sentence per row of ``effects.effects`` in the given metric, over the common cases.

    "Corrected" is the p value corrected for the rows of the same family.

    Such as: attention minus unet in pancreas Dice is +0.004 (-0.003 to +0.011), 5 seeds, 40 patients: ...
    """
    return [_verdict(row) for row in effect_rows(rows, metric)]


def _verdict(row: EffectRow) -> str:
    subject = f"{row['arm']} against {row['baseline']}"
    if not row["baseline_trainings"] or not row["other_trainings"]:
        missing = row["baseline"] if not row["baseline_trainings"] else row["arm"]
        return f"{subject}, {row['class']}: nothing can be said, as no training of {missing} finished."
    if not row["patients"]:
        return f"{subject}, {row['class']}: nothing can be said, as no test case is defined by all trainings."
    metric = METRIC_OF[row["metric"]]
    digits = metric.digits
    change = f"{row['arm']} minus {row['baseline']} in {row['class']} {metric.title} is {row['mean']:+.{digits}f}"
    if not math.isnan(row["low"]):
        change += f" ({row['low']:+.{digits}f} to {row['high']:+.{digits}f})"
    sizes = f"{_trainings(row)}, {counted(row['patients'], 'patient')}"
    return f"{change}, {sizes}: {_conclusion(row)}."


def _trainings(row: EffectRow) -> str:
    first, other = row["baseline_trainings"], row["other_trainings"]
    if first == other:
        return counted(first, "seed" if row["folds"] == 1 else "training") + (" each" if first == 1 else "")
    return f"{first} and {other} {'seeds' if row['folds'] == 1 else 'trainings'}"


def _conclusion(row: EffectRow) -> str:
    if math.isnan(row["p_value"]):
        return "too few patients for a test"
    is_shown, p_value = row["holm_p_value"] < LEVEL, row["holm_p_value"]
    direction = "higher" if row["mean"] > 0 else "lower"
    told = f"{direction} (corrected p {p_text(p_value)})" if is_shown else "no difference shown"
    if not is_shown and row["p_value"] < LEVEL:
        values = f"p {p_text(row['p_value'])}, corrected {p_text(p_value)}"
        told += f" after the correction for the {row['family']} rows ({values})"
    if row["equivalence_p_value"] < LEVEL:
        told += f"; equivalent within {row['margin']:g}"
    elif not is_shown and not math.isnan(row["equivalence_p_value"]):
        told += f"; equivalence within {row['margin']:g} not shown either"
    return told if row["speaks_of_models"] else f"{told}; this speaks of two trainings, not of two models"
