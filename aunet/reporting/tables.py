"""Tables in the form of papers: rows grouped by metric, then class; in the terminal and in Markdown."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.box import HORIZONTALS
from rich.console import Group
from rich.table import Table
from rich.text import Text

from aunet.metrics.case_scores import CONVENTION, PENALTY, shown_metrics
from aunet.metrics.registry import METRIC_OF, notes_on

# A row of a table of pandas by column; each column has a type of its own.
TableRow = Mapping[Hashable, Any]

DETECTED_NOTE = "Detected: cases whose prediction shares a voxel with the class, of the cases whose reference holds it"
DETECTION_NOTE = f"{DETECTED_NOTE}; +n: n other cases in which the class is predicted."

PHANTOM_NOTE = "PHANTOM data: the scans are synthetic, and these numbers say nothing about patients."

Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class PaperTable:
    """A title, columns, groups of rows with a rule between groups, notes below.

    The first ``name_columns`` columns hold names, the others numbers. A rich console prints it directly.
    """

    title: str
    columns: tuple[str, ...]
    groups: tuple[Rows, ...]
    notes: tuple[str, ...] = ()
    name_columns: int = 2

    def __rich__(self) -> Group:
        """Return the table for the terminal."""
        table = Table(box=HORIZONTALS, pad_edge=False, collapse_padding=True, header_style="bold")
        for number, column in enumerate(self.columns):
            table.add_column(Text(column), justify="left" if number < self.name_columns else "right", overflow="fold")
        for rows in self.groups:
            for row in rows:
                table.add_row(*(Text(cell) for cell in row))
            table.add_section()
        return Group(Text(self.title, style="bold"), table, *(Text(note, style="dim") for note in self.notes))

    def as_markdown(self) -> str:
        """Return the table in GitHub's Markdown, with its title and notes."""
        rules = tuple(":--" if number < self.name_columns else "--:" for number in range(len(self.columns)))
        rows = (self.columns, rules, *(row for rows in self.groups for row in rows))
        lines = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
        return "\n\n".join([f"**{self.title}**", lines, *self.notes]) + "\n"


def score_table(
    summary: pd.DataFrame, title: str, *, is_phantom: bool = False, caveats: Sequence[str] = ()
) -> PaperTable:
    """Return the table of one model's scores, from ``case_scores.summarise``: mean ± sd over its cases.

    Further columns hold the penalised mean, the detections, the number of cases and of undefined values. ``caveats``
    are sentences of its run's record that qualify every score; they become notes.
    """
    metrics = shown_metrics(set(summary["metric"]))
    rows = {metric: [_score_cells(row) for row in rows_of_metric(summary, metric)] for metric in metrics}
    mean_note = f"Mean and sd (n - 1) over cases. {notes_on(metrics)} {CONVENTION}"
    return PaperTable(
        title=f"{title} (PHANTOM)" if is_phantom else title,
        columns=("Metric", "Class", "Mean ± sd", "Penalised", "Detected", "Cases", "Undefined"),
        groups=grouped_by_metric(rows),
        notes=(*((PHANTOM_NOTE,) if is_phantom else ()), *caveats, mean_note, PENALTY, DETECTION_NOTE),
    )


def _score_cells(row: TableRow) -> tuple[str, ...]:
    return (
        str(row["class"]),
        mean_and_sd(row["mean"], row["sd"], row["metric"]),
        mean_and_sd(row["penalised_mean"], math.nan, row["metric"]),
        f"{row['detected']}/{row['present']}" + (f" +{row['invented']}" if row["invented"] else ""),
        str(row["count"]),
        str(row["undefined"]),
    )


def grouped_by_metric(rows: dict[str, list[tuple[str, ...]]]) -> tuple[Rows, ...]:
    """Return a group of rows per metric, with its name before the first row only."""
    return tuple(
        tuple((METRIC_OF[metric].heading if number == 0 else "", *row) for number, row in enumerate(of_metric))
        for metric, of_metric in rows.items()
    )


def rows_of_metric(table: pd.DataFrame, metric: str) -> list[TableRow]:
    """Return the rows of ``table`` whose column ``metric`` is ``metric``, in their order."""
    return table.loc[table["metric"] == metric].to_dict("records")


def mean_and_sd(mean: float, sd: float, metric: str) -> str:
    """Return ``0.840 ± 0.087``; the mean alone if the sd is undefined (one case), a dash if both are."""
    if math.isnan(mean):
        return "–"
    digits = METRIC_OF[metric].digits
    return f"{mean:.{digits}f}" if math.isnan(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"
