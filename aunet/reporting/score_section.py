"""The part of a report on the scores of a run's test cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from statistics import fmean

import pandas as pd

from aunet.classes import Labels
from aunet.metrics.case_scores import (
    CONVENTION,
    PENALTY,
    count_cases,
    recorded_metrics,
    shown_metrics,
    summarise,
    summary_as_mapping,
)
from aunet.metrics.registry import METRIC_OF, notes_on
from aunet.reporting.html import Cell, HtmlTable, Picture, Tile, css_color, embed_picture
from aunet.reporting.tables import (
    DETECTION_NOTE,
    PHANTOM_NOTE,
    mean_and_sd,
)
from aunet.runs.run_folder import RunFolder

Summary = Mapping[str, float | int | None]

_NUM_WORST, _NUM_BEST = 3, 2


@dataclass(frozen=True)
class ScoreSection:
    """The summary of the scores with notes and definitions, pictures of notable cases by title, and all cases."""

    summary: HtmlTable
    notes: list[str]
    definitions: list[str]
    extreme_cases: dict[str, list[Picture]]
    cases: HtmlTable


def dice_tiles(run: RunFolder) -> list[Tile]:
    """Return the test Dice of each class, mean ± sd; none before the test."""
    scores = run.case_scores
    if scores is None:
        return []
    return [
        Tile(mean_and_sd_of(of_metric["dice"], "dice"), f"test Dice, {name}", _color_of(name, run.labels))
        for name, of_metric in summary_as_mapping(summarise(scores)).items()
    ]


def score_section(run: RunFolder) -> ScoreSection | None:
    """Return the section on the run's test cases; None before they are scored."""
    scores = run.case_scores
    if scores is None or scores.empty:
        return None
    phantom_note = [PHANTOM_NOTE] if run.facts.get("is_phantom") else []
    return ScoreSection(
        _summary_table(scores, run.labels),
        [*phantom_note, *run.caveats, f"Mean ± sd (n - 1) over {count_cases(scores)}."],
        [notes_on(shown_metrics(recorded_metrics(scores))), CONVENTION, PENALTY, DETECTION_NOTE],
        _extreme_cases(scores, run),
        _case_table(scores),
    )


def case_means(scores: pd.DataFrame) -> dict[str, float]:
    """Return the mean Dice over the classes by case, worst first; cases without a defined Dice are left out."""
    dice: dict[str, list[float]] = {}
    for row in scores.to_dict("records"):
        dice.setdefault(str(row["case_id"]), []).extend([] if isnan(row["dice"]) else [float(row["dice"])])
    means = {case_id: fmean(values) for case_id, values in dice.items() if values}
    return dict(sorted(means.items(), key=lambda item: item[1]))


def ranked_cases(scores: pd.DataFrame) -> list[str]:
    """Return the case ids by mean Dice over the classes, worst first; cases without a defined Dice are left out."""
    return list(case_means(scores))


def notable_cases(scores: pd.DataFrame) -> dict[str, str]:
    """Return the worst, median and best case by mean Dice; of an even number, the worse of the two middle ones.

    A case appears once: of two cases, there is no median, and one alone is the worst.
    """
    ranked = ranked_cases(scores)
    places = {"worst": 0, "median": (len(ranked) - 1) // 2, "best": len(ranked) - 1}
    found: dict[str, str] = {}
    for name, place in places.items():
        if ranked and ranked[place] not in found.values():
            found[name] = ranked[place]
    return found


def _summary_table(scores: pd.DataFrame, labels: Labels) -> HtmlTable:
    metrics = shown_metrics(recorded_metrics(scores))
    rows = [
        (
            Cell(name, color=_color_of(name, labels)),
            _detection_cell(of_metric["detection"]),
            *(_summary_cell(of_metric[metric], metric) for metric in metrics),
        )
        for name, of_metric in summary_as_mapping(summarise(scores)).items()
    ]
    return HtmlTable(("Class", "Detected", *(METRIC_OF[metric].heading for metric in metrics)), rows)


def _detection_cell(entry: Summary) -> Cell:
    invented = entry["invented"]
    return Cell(f"{entry['detected']}/{entry['present']}", (f"+{invented}",) if invented else ())


def _summary_cell(entry: Summary, metric: str) -> Cell:
    """Return mean ± sd, below it the penalised mean if it differs, and the number of undefined values."""
    mean, penalised = (mean_and_sd(_number(entry, key), nan, metric) for key in ("mean", "penalised_mean"))
    remarks = [f"penalised {penalised}"] if penalised != mean else []
    # Only files of older versions lack the scan's diagonal, the penalty of a distance.
    remarks = ["penalised: not recorded"] if remarks and entry["penalised_mean"] is None else remarks
    remarks += [f"{entry['undefined']} undefined"] if entry["undefined"] else []
    return Cell(mean_and_sd_of(entry, metric), tuple(remarks))


def mean_and_sd_of(entry: Summary, metric: str) -> str:
    """Return ``0.840 ± 0.087`` for one metric of one class, as ``tables.mean_and_sd``."""
    return mean_and_sd(_number(entry, "mean"), _number(entry, "sd"), metric)


def _number(entry: Summary, key: str) -> float:
    value = entry[key]
    return nan if value is None else float(value)


def _extreme_cases(scores: pd.DataFrame, run: RunFolder) -> dict[str, list[Picture]]:
    ranked = ranked_cases(scores)
    worst = ranked[:_NUM_WORST]
    median = [case_id for name, case_id in notable_cases(scores).items() if name == "median" and case_id not in worst]
    best = [case_id for case_id in reversed(ranked) if case_id not in (*worst, *median)][:_NUM_BEST]
    pictures = {
        title: [
            _case_picture(case_id, path, scores)
            for case_id in case_ids
            if (path := run.test.picture(case_id)).is_file()
        ]
        for title, case_ids in (("Worst cases", worst), ("Median case", median), ("Best cases", best))
    }
    return {title: shown for title, shown in pictures.items() if shown}


def _case_picture(case_id: str, path: Path, scores: pd.DataFrame) -> Picture:
    rows = [row for row in scores.to_dict("records") if row["case_id"] == case_id]
    dice = ", ".join(f"{row['class']} {_format(row['dice'], 3)}" for row in rows)
    description = f"Reference and prediction of test case {case_id}"
    return embed_picture(path, description, f"Dice: {dice}", title=case_id, widest=1400)


def _case_table(scores: pd.DataFrame) -> HtmlTable:
    columns = [*shown_metrics(recorded_metrics(scores)), "reference_ml", "predicted_ml"]
    names = {key: metric.heading for key, metric in METRIC_OF.items()}
    names |= {"reference_ml": "Reference (ml)", "predicted_ml": "Prediction (ml)"}
    rows = [
        (
            Cell(row["case_id"]),
            Cell(row["patient"] or "not recorded"),
            Cell(row["class"]),
            *(Cell(_format(row[name], _digits(name))) for name in columns),
        )
        for row in scores.to_dict("records")
    ]
    return HtmlTable(("Case", "Patient", "Class", *(names[column] for column in columns)), rows)


def _format(value: float, digits: int) -> str:
    return "undefined" if isnan(value) else f"{value:.{digits}f}"


def _digits(column: str) -> int:
    return 1 if column.endswith("_ml") else METRIC_OF[column].digits


def _color_of(name: str, labels: Labels) -> str:
    return next((css_color(labels.color(index)) for index, known in labels.foreground if known == name), "")
