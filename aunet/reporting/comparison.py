"""Runs side by side: the table of the paper, and the paired differences of every run to the first."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from aunet.metrics.case_scores import METRICS, summarise
from aunet.metrics.paired_statistics import paired_differences
from aunet.reporting.compared_run import ComparedRun
from aunet.reporting.tables import (
    MEAN_NOTE,
    PHANTOM_NOTE,
    PaperTable,
    digits_of,
    grouped_by_metric,
    mean_and_sd,
    rows_of_metric,
)

INFERENCE_NOTE = (
    "Interval: 95 % bootstrap (BCa) of the mean over cases. p: two-sided Wilcoxon signed-rank test, not "
    "corrected for the number of rows. Both speak of other cases, not of other trainings: for those, repeat "
    "the runs with other seeds."
)
FOLDS_NOTE = (
    "Cross-validation: the test scores of all folds, pooled; each case was scored by a network that did not train "
    "on it. The sd is over cases, not over folds."
)


def comparison_rows(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """Every number of the comparison: a row per run, metric and class."""
    return pd.concat([_rows_of_run(run) for run in runs], ignore_index=True)


def comparison_table(runs: Sequence[ComparedRun], rows: pd.DataFrame, timing_note: str) -> PaperTable:
    """The paper's table of ``comparison_rows``: a row per metric and class, a column per run; then size and speed."""
    names, classes = [run.name for run in runs], runs[0].class_names[1:]
    cells = {(row["metric"], row["class"], row["run"]): _cell(row) for row in rows.to_dict("records")}
    scores = {
        metric: [(of_class, *(cells[metric, of_class, name] for name in names)) for of_class in classes]
        for metric in METRICS
    }
    has_folds = any(run.num_folds > 1 for run in runs)
    facts = (
        ("Parameters", "", *(f"{run.parameters / 1e6:.2f} M" for run in runs)),
        ("Forward (s)", "", *(f"{run.forward_seconds:.3f}" for run in runs)),
        ("Patch", "", *("×".join(map(str, run.patch_size)) for run in runs)),
        ("Seed", "", *(str(run.seed) for run in runs)),
        *((("Folds", "", *(str(run.num_folds) for run in runs)),) if has_folds else ()),
    )
    phantom, num_cases = runs[0].is_phantom, runs[0].scores["case_id"].nunique()
    return PaperTable(
        title=f"{runs[0].data}{' (PHANTOM)' if phantom else ''}: mean ± sd over {num_cases} test cases",
        columns=("Metric", "Class", *names),
        groups=(*grouped_by_metric(scores), facts),
        notes=(
            *((PHANTOM_NOTE,) if phantom else ()),
            timing_note,
            *((FOLDS_NOTE,) if has_folds else ()),
            f"[n]: n cases undefined. {MEAN_NOTE}",
        ),
    )


def differences_to_first(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """Paired differences of two or more runs to the first: columns baseline, run, those of ``paired_differences``."""
    tables: list[pd.DataFrame] = []
    for run in runs[1:]:
        differences = paired_differences(runs[0].scores, run.scores)
        differences.insert(0, "baseline", runs[0].name)
        differences.insert(1, "run", run.name)
        tables.append(differences)
    return pd.concat(tables, ignore_index=True)


def difference_tables(differences: pd.DataFrame) -> list[PaperTable]:
    """A table per run of ``differences_to_first``."""
    return [
        PaperTable(
            title=f"Paired differences: {run} minus {of_run['baseline'].iloc[0]}",
            columns=("Metric", "Class", "Mean", "95 % interval", "Median", "p", "Pairs", "Undefined"),
            groups=grouped_by_metric(
                {metric: [_difference_cells(row) for row in rows_of_metric(of_run, metric)] for metric in METRICS}
            ),
            notes=(INFERENCE_NOTE,),
        )
        for run, of_run in differences.groupby("run", sort=False)
    ]


def _rows_of_run(run: ComparedRun) -> pd.DataFrame:
    rows = summarise(run.scores)
    facts = {
        "run": run.name,
        "folder": str(run.folder),
        "model": run.model,
        "seed": run.seed,
        "folds": run.num_folds,
        "data": run.data,
        "is_phantom": run.is_phantom,
        "parameters": run.parameters,
        "patch_size": "x".join(map(str, run.patch_size)),
        "forward_seconds": run.forward_seconds,
    }
    for at, (column, value) in enumerate(facts.items()):
        rows.insert(at, column, value)
    return rows


def _cell(row: Mapping[str, Any]) -> str:
    undefined = f" [{row['undefined']}]" if row["undefined"] else ""
    return mean_and_sd(row["mean"], row["sd"], row["metric"]) + undefined


def _difference_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    digits = digits_of(row["metric"])
    return (
        str(row["class"]),
        _signed(row["mean"], digits),
        _interval(row["low"], row["high"], digits),
        _signed(row["median"], digits),
        _p_value(row["p_value"]),
        str(row["count"]),
        str(row["undefined"]),
    )


def _signed(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:+.{digits}f}"


def _interval(low: float, high: float, digits: int) -> str:
    return "–" if math.isnan(low) else f"[{_signed(low, digits)}, {_signed(high, digits)}]"


def _p_value(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
