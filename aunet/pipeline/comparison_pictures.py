"""The figures of a comparison, from its scores and from the curves in the run folders."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from aunet.evaluation.arms import Arm
from aunet.evaluation.compared_run import ComparedRun
from aunet.metrics.case_scores import patients
from aunet.reporting.comparison_figures import (
    difference_distributions,
    paired_dots,
    render_figure,
    score_against_volume,
    seed_curves,
)
from aunet.reporting.comparison_report import DrawnFigure
from aunet.reporting.html import screen_source
from aunet.runs.epoch_rows import Columns, read_columns
from aunet.runs.run_folder import RunFolder

_NOT_IN_NAMES = re.compile(r"[^\w.=+-]+")
_AREA = "area under the ROC curve,\ninside against outside"
_DOTS = "Dice of each patient, a mean over the trainings, as a line from one model to the other; black: mean."
_DIFFERENCES = (
    "difference in Dice of each patient; black: mean with its 95 % interval; shaded: within the margin of equivalence."
)
_VOLUMES = "Dice of each patient against the organ's volume in the reference; lines join the medians of its thirds."
_LEARNING = "Validation Dice by epoch: mean over the trainings, in a band from the lowest to the highest."
_CONTRAST = (
    "Do the gates distinguish the organs from the rest? Area under the ROC curve of the coefficients, inside against"
    " outside, over the recorded validation cases: mean over the trainings, in a band from the lowest to the highest;"
    " 0.5 (dotted): not at all."
)


def draw_figures(
    arms: Sequence[Arm], table: pd.DataFrame, rows: pd.DataFrame, margin: float | None
) -> Iterator[DrawnFigure]:
    """Yield the figures of ``arms`` with scores; those without data are left out. Axes of scores on phantoms say so.

    Args:
        arms: the baseline first.
        table: tidy scores.
        rows: of ``effects.effects``.
        margin: of equivalence in Dice.
    """
    present = [arm for arm in arms if arm.runs]
    names, values = [arm.name for arm in present], _patient_values(present, table)
    mark = " (phantom)" if present[0].runs[0].is_phantom else ""
    score = f"Dice{mark}"
    for name in names[1:] if arms[0].runs else []:  # pairs need the baseline
        of_arm = rows.loc[(rows["arm"] == name) & (rows["metric"] == "dice") & (rows["form"] == "common cases")]
        suffix = _NOT_IN_NAMES.sub("-", name)
        pair = f"{name} against {names[0]}"
        yield _drawn(paired_dots(values, names[0], name, score), f"paired_dots_{suffix}", f"{pair}: {_DOTS}")
        figure = difference_distributions(values, names[0], name, of_arm, margin, score)
        yield _drawn(figure, f"differences_{suffix}", f"{pair}: {_DIFFERENCES}")
    if bool(values["volume_ml"].gt(0).any()):  # old tables lack volumes
        yield _drawn(score_against_volume(values, names, score), "dice_against_volume", _VOLUMES)
    if (figure := _learning(present, mark)) is not None:
        yield _drawn(figure, "learning_curves", _LEARNING)
    if (figure := _contrast(present, mark)) is not None:
        yield _drawn(figure, "contrast_curves", _CONTRAST)


def _drawn(figure: Figure, name: str, caption: str) -> DrawnFigure:
    pdf, png = render_figure(figure)
    return DrawnFigure(name, caption, pdf, png, screen_source(io.BytesIO(png)))


def _patient_values(arms: Sequence[Arm], table: pd.DataFrame) -> pd.DataFrame:
    """Return the Dice of each patient and class, a column per arm, with the organ's volume in the reference (ml)."""
    chosen: Any = table.loc[(table["metric"] == "dice") & (table["form"] == "common cases")]
    keys = ["class", "patient"]
    dices = chosen.pivot_table(index=keys, columns="arm", values="value", sort=False)
    scores = arms[0].runs[0].scores
    volumes = (
        scores.assign(volume_ml=scores["reference_ml"], patient=patients(scores))
        .groupby(keys, sort=False)["volume_ml"]
        .mean()
    )
    return dices.reindex(columns=[arm.name for arm in arms]).join(volumes).reset_index()


def _learning(arms: Sequence[Arm], mark: str) -> Figure | None:
    curves = _curves(arms, lambda run: _epochs(read_columns(RunFolder(run.folder).metrics)))
    return None if curves.empty else seed_curves(curves, [arm.name for arm in arms], f"validation Dice{mark}")


def _contrast(arms: Sequence[Arm], mark: str) -> Figure | None:
    curves = _curves(arms, lambda run: _areas(read_columns(RunFolder(run.folder).attention.statistics)))
    # All arms are named, so that each keeps its colour; those without gates have no curve.
    return None if curves.empty else seed_curves(curves, [arm.name for arm in arms], _AREA + mark, neutral=0.5)


def _curves(arms: Sequence[Arm], read: Callable[[ComparedRun], pd.DataFrame]) -> pd.DataFrame:
    """Return the curves of all runs; of pooled folds, that of the first, whose folder the run has."""
    tables = [read(run).assign(arm=arm.name, seed=run.seed) for arm in arms for run in arm.runs]
    found = [table for table in tables if len(table)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _epochs(columns: Columns | None) -> pd.DataFrame:
    if columns is None or "val/dice" not in columns:
        return pd.DataFrame()
    return pd.DataFrame({"epoch": columns["epoch"], "value": columns["val/dice"].astype(np.float64), "panel": ""})


def _areas(columns: Columns | None) -> pd.DataFrame:
    """Return the mean over cases and gates of ``auc_inside`` by level and epoch."""
    if columns is None or "auc_inside" not in columns:
        return pd.DataFrame()
    panels = [f"level {level}" for level in columns["level"]]
    rows = pd.DataFrame({"epoch": columns["epoch"], "value": columns["auc_inside"].astype(np.float64), "panel": panels})
    means: Any = rows.groupby(["panel", "epoch"], as_index=False)["value"].mean()
    return means
