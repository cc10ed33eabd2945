"""The tables of a comparison of arms: the paper's table over all trainings, and the effects."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aunet.evaluation.arms import Arm
from aunet.evaluation.compared_run import ComparedRun
from aunet.evaluation.comparison import fact_rows, metric_title, run_notes
from aunet.evaluation.comparison_scores import ScoreForm
from aunet.evaluation.effects import EffectRow, effect_rows
from aunet.evaluation.setting_differences import NOT_RECORDED
from aunet.evaluation.sign_flip_test import DRAWS, FEWEST, MOST_EXACT
from aunet.metrics.case_scores import detections
from aunet.metrics.registry import METRIC_OF
from aunet.reporting.tables import DETECTED_NOTE, PaperTable, Rows

MISSING = "missing"
MODELS_NOTE = (
    "Mean: a patient's difference between the models' means over their trainings, averaged over the patients. 95 %"
    " interval and p treat patients and trainings as crossed random effects (mean squares; mean of Satterthwaite's t"
    " and the Behrens-Fisher mixture; skewness corrected after Hall), so they hold for other patients and other seeds."
)
SIGN_FLIP_NOTE = (
    "Mean: of the patients' differences, each the mean over the patient's cases that both runs define. p: two-sided"
    f" sign-flip permutation test of this mean (t corrected for skewness; all patterns of signs up to n = {MOST_EXACT},"
    f" else {DRAWS:,}). 95 % interval: the means that this test does not reject, so that it excludes 0 exactly if"
    " p < 0.05."
)
FEW_NOTE = (
    f"Both are left out below n = {FEWEST}: too few patients. n: patients (cases, if they are more). Left out: cases"
    " with an undefined score in any training."
)
HOLM_NOTE = (
    "Holm: p corrected for {count} primary rows ({metrics}), declared in advance with --primary, or for the {others}"
    " others, which are secondary: each family keeps its own error at 5 %. In effects.csv, holm_all_p_value is"
    " corrected for all rows of this table."
)
ONE_FAMILY_NOTE = "Holm: p corrected for all rows of this table."
SIZE_NOTE = (
    "Equivalent: p of two one-sided tests that the true difference is within the margin. False claim: probability that"
    " the true difference has the other sign, under a flat prior (arXiv 2505.04720, with the spread of the trainings if"
    " there are several). d: Hedges' effect size over the patients. Higher: share of patients with a higher score."
    " Correlation: between both models' scores over the patients. Seed sd: standard deviation of one training's mean."
)


def arm_table(
    arms: Sequence[Arm], table: pd.DataFrame, forms: Sequence[ScoreForm], title: str, timing_note: str
) -> PaperTable:
    """Return the paper's table: rows of metrics and classes, then size, cost and training; a column per arm.

    A cell is mean ± sd over the patients of their means over the trainings and, for several trainings, the sd over
    the trainings' means. Each row is over the cases that every training of every arm defines.
    """
    names = [arm.name for arm in arms]
    groups = [*(_score_rows(form, table, names) for form in forms), _detected_rows(arms)]
    return PaperTable(
        title=title,
        columns=("Metric", "Class", "n", *names),
        groups=(*groups, _facts(arms)),
        notes=(
            *run_notes([run for arm in arms for run in arm.runs], are_arms=True),
            *missing_notes(arms),
            "Mean ± sd over the patients, each averaged over the trainings; in brackets the sd of the trainings' means."
            f" n: patients with a value in every training. {DETECTED_NOTE}, a mean over the trainings."
            " Training time: median over the trainings.",
            timing_note,
        ),
    )


def effect_table(
    rows: pd.DataFrame, forms: Sequence[ScoreForm], title: str, run_notes: Sequence[str] = ()
) -> PaperTable:
    """Return the differences of one arm to the baseline, from rows of ``effects.effects``.

    ``run_notes`` are those of every table of these runs.
    """
    certainty = MODELS_NOTE if bool(rows["speaks_of_models"].any()) else SIGN_FLIP_NOTE
    return PaperTable(
        title=title,
        columns=("Metric", "Class", "Mean", "95 % interval", "p", "Holm", "sd", "n", "Left out"),
        groups=tuple(_grouped(form, rows, _effect_cells, 6) for form in forms),
        notes=(*run_notes, f"{certainty} {FEW_NOTE} {_holm_note(rows)}"),
    )


def _holm_note(rows: pd.DataFrame) -> str:
    """Return which rows were corrected together for their number; rows without a test do not count."""
    tested = rows.dropna(subset=["p_value"])
    primary, secondary = (tested.loc[tested["family"] == family] for family in ("primary", "secondary"))
    if secondary.empty:
        return ONE_FAMILY_NOTE
    titles = [METRIC_OF[str(key)].title for key in rows.loc[rows["family"] == "primary", "metric"].unique()]
    return HOLM_NOTE.format(count=len(primary), metrics=", ".join(titles), others=len(secondary))


def size_table(rows: pd.DataFrame, forms: Sequence[ScoreForm], title: str) -> PaperTable:
    """Return equivalence, risk and size of the differences of one arm, from rows of ``effects.effects``."""
    return PaperTable(
        title=title,
        columns=("Metric", "Class", "Equivalent", "False claim", "d", "Higher", "Correlation", "Seed sd"),
        groups=tuple(_grouped(form, rows, _size_cells, 5) for form in forms),
        notes=(SIZE_NOTE, _margin_note(rows)),
    )


def _score_rows(form: ScoreForm, table: pd.DataFrame, names: Sequence[str]) -> Rows:
    chosen = table.loc[(table["metric"] == form.metric) & (table["form"] == form.name)]
    if chosen.empty:
        return ((metric_title(form), "all", "–", *(NOT_RECORDED for _ in names)),)
    rows: list[tuple[str, ...]] = []
    for number, (of_class, scores) in enumerate(chosen.groupby("class", sort=False)):
        cells, patients = _cells(scores, names, METRIC_OF[form.metric].digits)
        rows.append(("" if number else metric_title(form), str(of_class), str(patients), *cells))
    return tuple(rows)


def _detected_rows(arms: Sequence[Arm]) -> Rows:
    """Return the number of organs found of those present, a mean over the trainings."""
    counts: list[pd.DataFrame | None] = []
    for arm in arms:
        tables = [detections(run.scores).set_index("class") for run in arm.runs]
        counts.append(sum(tables[1:], tables[0]) / len(tables) if tables else None)
    classes = next(list(found.index) for found in counts if found is not None)
    rows: list[tuple[str, ...]] = []
    for number, of_class in enumerate(classes):
        cells = [
            MISSING if found is None else f"{found.loc[of_class, 'detected']:g}/{found.loc[of_class, 'present']:g}"
            for found in counts
        ]
        rows.append(("" if number else "Detected (cases)", str(of_class), "", *cells))
    return tuple(rows)


def _cells(scores: pd.DataFrame, names: Sequence[str], digits: int) -> tuple[list[str], int]:
    """Return a cell per arm, over the cases that all trainings define, and the number of their patients."""
    wide = scores.pivot(index=["patient", "case"], columns=["arm", "seed"], values="value").dropna()
    means: Any = wide.groupby(level="patient").mean()
    present = set(scores["arm"])
    cells = [_cell(means[name].to_numpy(dtype=np.float64), digits) if name in present else MISSING for name in names]
    return cells, len(means)


def _cell(values: NDArray[np.float64], digits: int) -> str:
    """Return ``0.840 ± 0.087 (0.004)`` of the scores (patients, trainings)."""
    patients, trainings = values.shape
    if not patients:
        return "–"
    text = f"{values.mean():.{digits}f}"
    text += f" ± {values.mean(axis=1).std(ddof=1):.{digits}f}" if patients > 1 else ""
    return text + (f" ({values.mean(axis=0).std(ddof=1):.{digits}f})" if trainings > 1 else "")


def _facts(arms: Sequence[Arm]) -> Rows:
    """Return the rows on size, cost and training, in which an arm stands for all its trainings."""
    present = [arm for arm in arms if arm.runs]
    folds = [arm.runs[0].num_folds for arm in present]
    own = {"Seeds": [str(len(arm.runs)) for arm in present]}
    own |= {"Folds": list(map(str, folds))} if max(folds, default=1) > 1 else {}
    pooled = fact_rows([_pooled(arm) for arm in present]) if present else ()
    cells = {row[0]: list(row[3:]) for row in pooled if row[0] not in ("Seed", "Folds")} | own
    rows = [(name, "", "", *_with_missing(arms, of_row)) for name, of_row in cells.items()]
    if any(arm.missing for arm in arms):
        rows.append(("Missing trainings", "", "", *(str(len(arm.missing)) for arm in arms)))
    return tuple(rows)


def _pooled(arm: Arm) -> ComparedRun:
    seconds = [run.training_seconds for run in arm.runs]
    trainings = tuple(training for run in arm.runs for training in run.trainings)
    return replace(arm.runs[0], trainings=trainings, training_seconds=float(np.median(seconds)))


def _with_missing(arms: Sequence[Arm], cells: Sequence[str]) -> Iterator[str]:
    of_present = iter(cells)
    return (next(of_present) if arm.runs else MISSING for arm in arms)


def missing_notes(arms: Sequence[Arm]) -> list[str]:
    """Return a sentence for each arm with trainings that did not finish."""
    return [f"{arm.name}: {', '.join(arm.missing)} did not finish." for arm in arms if arm.missing]


def _grouped(
    form: ScoreForm, rows: pd.DataFrame, cells_of: Callable[[EffectRow, int], tuple[str, ...]], others: int
) -> Rows:
    """Return a row per class; ``others`` is the number of cells after the first one with a number."""
    of_form = effect_rows(rows, form.metric, form.name)
    found = [row for row in of_form if row["baseline_trainings"] and row["other_trainings"]]
    if not found:
        state = (
            NOT_RECORDED if rows[["baseline_trainings", "other_trainings"]].to_numpy().all(axis=1).any() else MISSING
        )
        return ((metric_title(form), "all", state, *["–"] * others),)
    digits = METRIC_OF[form.metric].digits
    return tuple(
        ("" if number else metric_title(form), str(row["class"]), *cells_of(row, digits))
        for number, row in enumerate(found)
    )


def _effect_cells(row: EffectRow, digits: int) -> tuple[str, ...]:
    return (
        number_text(row["mean"], f"+.{digits}f"),
        "–" if math.isnan(row["low"]) else f"[{row['low']:+.{digits}f}, {row['high']:+.{digits}f}]",
        p_text(row["p_value"]),
        p_text(row["holm_p_value"]),
        number_text(row["sd"], f".{digits}f"),
        f"{row['patients']}" + (f" ({row['cases']})" if row["cases"] != row["patients"] else ""),
        str(row["undefined"]),
    )


def _size_cells(row: EffectRow, digits: int) -> tuple[str, ...]:
    return (
        p_text(row["equivalence_p_value"]),
        number_text(row["false_claim"], ".1%"),
        number_text(row["effect_size"], "+.2f"),
        number_text(row["share_higher"], ".0%"),
        number_text(row["correlation"], ".2f"),
        number_text(row["training_sd"], f".{digits}f"),
    )


def p_text(value: float) -> str:
    """Return a p value with three decimals, a dash if there is none."""
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def number_text(value: float, form: str) -> str:
    """Return a number in the given format, a dash if there is none."""
    return "–" if math.isnan(value) else format(value, form)


def _margin_note(rows: pd.DataFrame) -> str:
    margins = rows[["metric", "margin"]].dropna().drop_duplicates()
    of_metrics = ((METRIC_OF[str(metric)], margin) for metric, margin in margins.to_numpy())
    told = ", ".join(f"{metric.title} ±{margin:g} {metric.unit}".strip() for metric, margin in of_metrics)
    return f"Margins: {told}." if told else "No margin of equivalence was given."
