"""Paired change of every score by each intervention, and whether a level of gates is needed."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from aunet.attention.interventions import MEAN
from aunet.evaluation.paired_statistics import paired_difference, patient_means
from aunet.evaluation.probe_cases import NOTHING
from aunet.metrics.case_scores import patients, recorded_metrics
from aunet.reporting.tables import TableRow

Judgement = Literal["decoration", "needed", "undecided"]

# An organ that the unchanged network hardly finds cannot lose Dice, so it says nothing of the gates.
LOWEST_DICE = 0.1


@dataclass(frozen=True)
class Verdict:
    """A judgement whether the maps of ``target`` can be replaced by their mean, with the reason in words."""

    target: str
    judgement: Judgement
    reason: str


def score_changes(scores: pd.DataFrame, shown: Callable[[Sequence[Any]], Iterable[Any]] = iter) -> pd.DataFrame:
    """Return the change of each metric, class, target and intervention against the unchanged network.

    The columns are target, intervention, metric, class, unchanged (the mean over patients without intervention) and the
    fields of ``PairedDifference``. ``scores`` are those of ``probe_cases.score_predictions`` of all cases. ``shown``
    may show the progress.
    """
    scores = scores.assign(patient=patients(scores))
    unchanged = scores[scores["intervention"] == NOTHING].set_index(["class", "case_id"])
    rows: list[dict[str, object]] = []
    changed = scores[scores["intervention"] != NOTHING].groupby(["target", "intervention"], sort=False)
    for (target, intervention), of_kind in shown(list(changed)):
        for of_class, cases in of_kind.groupby("class", sort=False):
            before = unchanged.loc[of_class].loc[list(cases["case_id"])]
            for metric in recorded_metrics(scores):
                of_patients = list(cases["patient"])
                difference = paired_difference(before[metric], cases[metric], of_patients)
                names = {"target": target, "intervention": intervention, "metric": metric, "class": of_class}
                means = patient_means(before[metric], of_patients)
                mean = float(np.mean(means)) if len(means) else math.nan
                rows.append({**names, "unchanged": mean, **vars(difference)})
    return pd.DataFrame(rows)


def judge_levels(changes: pd.DataFrame, levels: Sequence[str], margin: float) -> list[Verdict]:
    """Judge each target in ``levels`` by the Dice that it loses if its maps are replaced by their mean."""
    is_mean = (changes["intervention"] == MEAN) & (changes["metric"] == "dice")
    rows = changes.loc[is_mean]
    return [_judge(level, rows[rows["target"] == level].to_dict("records"), margin) for level in levels]


def _judge(level: str, rows: Sequence[TableRow], margin: float) -> Verdict:
    """Judge one level by its rows, one per class; the reason names the organs that the network hardly finds."""
    usable = [row for row in rows if row["patients"] and row["unchanged"] >= LOWEST_DICE]
    if not usable:
        return Verdict(level, "undecided", f"the unchanged network finds no organ with a Dice of {LOWEST_DICE:g}")
    verdict = _judge_usable(level, usable, margin)
    left_out = [str(row["class"]) for row in rows if row not in usable]
    if not left_out:
        return verdict
    why = f"Dice without intervention undefined or below {LOWEST_DICE:g}"
    return replace(verdict, reason=f"{verdict.reason}; not judged ({why}): {', '.join(left_out)}")


def _judge_usable(level: str, usable: Sequence[TableRow], margin: float) -> Verdict:
    """Judge one level by the rows of the organs that the network finds.

    It is decoration if every interval lies within the margin, and needed if some interval lies beyond it on the side of
    a loss, or excludes 0 there.
    """
    losses = [row for row in usable if row["high"] < 0 and row["low"] < -margin]
    if losses:
        worst = min(losses, key=lambda row: row["mean"])
        return Verdict(level, "needed", f"its mean costs Dice: {_change(worst)}")
    if any(math.isnan(row["low"]) for row in usable):
        return Verdict(
            level, "undecided", f"an interval needs 6 patients, here are {min(r['patients'] for r in usable)}"
        )
    if all(-margin <= row["low"] and row["high"] <= margin for row in usable):
        widest = max(usable, key=lambda row: max(abs(row["low"]), abs(row["high"])))
        return Verdict(level, "decoration", f"its mean changes no Dice by more than {margin:g}: {_change(widest)}")
    outside = max(usable, key=lambda row: max(abs(row["low"]), abs(row["high"])))
    return Verdict(level, "undecided", f"an interval reaches beyond {margin:g}: {_change(outside)}")


def _change(row: TableRow) -> str:
    return f"{row['class']} {row['mean']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
