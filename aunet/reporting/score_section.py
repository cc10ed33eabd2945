"""The part of a report on the scores of a run's test cases."""

from collections.abc import Mapping
from html import escape
from math import isnan, nan
from statistics import fmean

import pandas as pd

from aunet.classes import Labels
from aunet.metrics.case_scores import (
    CONVENTION,
    PENALTY,
    count_cases,
    shown_metrics,
    summarise,
    summary_as_mapping,
)
from aunet.reporting.html import css_color, folded, paragraph, picture, section, swatch, table
from aunet.reporting.tables import (
    DETECTION_NOTE,
    DISTANCE_NOTE,
    METRIC_NAMES,
    PHANTOM_NOTE,
    VOXEL_DISTANCE_NOTE,
    digits_of,
    mean_and_sd,
)
from aunet.runs.run_folder import RunFolder

Summary = Mapping[str, float | int | None]

_NUM_WORST, _NUM_BEST = 3, 2


def dice_tiles(run: RunFolder) -> list[tuple[str, str, str]]:
    """Return the test Dice of each class, mean ± sd, for ``html_elements.tiles``; none before the test."""
    scores = run.read_case_scores()
    if scores is None:
        return []
    return [
        (_mean_and_sd(of_metric["dice"], "dice"), f"test Dice, {name}", _color_of(name, run.labels))
        for name, of_metric in summary_as_mapping(summarise(scores)).items()
    ]


def score_section(run: RunFolder) -> str:
    """Return the summary of the scores, the worst and best cases as pictures, and all cases as a folded table."""
    scores = run.read_case_scores()
    if scores is None or scores.empty:
        return section("Test cases", paragraph("The test cases have not been scored yet.", "quiet"))
    distance_note = DISTANCE_NOTE if "assd_mm" in shown_metrics(scores) else VOXEL_DISTANCE_NOTE
    mean_note = f"Mean ± sd (n - 1) over {count_cases(scores)}. {distance_note} {CONVENTION}"
    notes = [paragraph(note, "note") for note in (*run.caveats, mean_note, f"{PENALTY} {DETECTION_NOTE}")]
    if run.facts.get("is_phantom"):
        notes.insert(0, paragraph(PHANTOM_NOTE, "note"))
    return section(
        "Test cases",
        _summary_table(scores, run.labels),
        *notes,
        *_extreme_cases(scores, run),
        folded("Scores of every test case", _case_table(scores)),
    )


def ranked_cases(scores: pd.DataFrame) -> list[str]:
    """Return the case ids by mean Dice over the classes, worst first; cases without a defined Dice are left out."""
    dice: dict[str, list[float]] = {}
    for row in scores.to_dict("records"):
        dice.setdefault(str(row["case_id"]), []).extend([] if isnan(row["dice"]) else [float(row["dice"])])
    means = {case_id: fmean(values) for case_id, values in dice.items() if values}
    return sorted(means, key=lambda case_id: means[case_id])


def _summary_table(scores: pd.DataFrame, labels: Labels) -> str:
    metrics = shown_metrics(scores)
    rows = [
        [
            swatch(_color_of(name, labels)) + escape(name),
            _detection_cell(of_metric["detection"]),
            *(_summary_cell(of_metric[metric], metric) for metric in metrics),
        ]
        for name, of_metric in summary_as_mapping(summarise(scores)).items()
    ]
    return table(("Class", "Detected", *(METRIC_NAMES[metric] for metric in metrics)), rows)


def _detection_cell(entry: Summary) -> str:
    invented = entry["invented"]
    return f"{entry['detected']}/{entry['present']}" + (f"<small>+{invented}</small>" if invented else "")


def _summary_cell(entry: Summary, metric: str) -> str:
    """Return mean ± sd, below it the penalised mean if it differs, and the number of undefined values."""
    mean, penalised = (mean_and_sd(_number(entry, key), nan, metric) for key in ("mean", "penalised_mean"))
    remarks = [f"penalised {penalised}"] if penalised != mean else []
    # Only files of older versions lack the scan's diagonal, the penalty of a distance.
    remarks = ["penalised: not recorded"] if remarks and entry["penalised_mean"] is None else remarks
    remarks += [f"{entry['undefined']} undefined"] if entry["undefined"] else []
    return _mean_and_sd(entry, metric) + "".join(f"<small>{remark}</small>" for remark in remarks)


def _mean_and_sd(entry: Summary, metric: str) -> str:
    return mean_and_sd(_number(entry, "mean"), _number(entry, "sd"), metric)


def _number(entry: Summary, key: str) -> float:
    value = entry[key]
    return nan if value is None else float(value)


def _extreme_cases(scores: pd.DataFrame, run: RunFolder) -> list[str]:
    ranked = ranked_cases(scores)
    worst = ranked[:_NUM_WORST]
    best = [case_id for case_id in reversed(ranked) if case_id not in worst][:_NUM_BEST]
    parts: list[str] = []
    for title, case_ids in (("Worst cases", worst), ("Best cases", best)):
        pictures = [_case_picture(case_id, scores, run) for case_id in case_ids]
        if any(pictures):
            parts += [f"<h3>{title} by mean Dice</h3>", *pictures]
    return parts


def _case_picture(case_id: str, scores: pd.DataFrame, run: RunFolder) -> str:
    path = run.test.picture(case_id)
    if not path.is_file():
        return ""
    rows = [row for row in scores.to_dict("records") if row["case_id"] == case_id]
    dice = ", ".join(f"{row['class']} {_cell(row['dice'], 3)}" for row in rows)
    caption = f"<strong>{escape(case_id)}</strong> · Dice: {escape(dice)}"
    return picture(path, f"Reference and prediction of test case {case_id}", caption, widest=1400)


def _case_table(scores: pd.DataFrame) -> str:
    columns = [*shown_metrics(scores), "reference_ml", "predicted_ml"]
    names = {**METRIC_NAMES, "reference_ml": "Reference (ml)", "predicted_ml": "Prediction (ml)"}
    rows = [
        [
            escape(row["case_id"]),
            escape(row["patient"] or "not recorded"),
            escape(row["class"]),
            *(_cell(row[name], _digits(name)) for name in columns),
        ]
        for row in scores.to_dict("records")
    ]
    return table(("Case", "Patient", "Class", *(names[column] for column in columns)), rows)


def _cell(value: float, digits: int) -> str:
    return "undefined" if isnan(value) else f"{value:.{digits}f}"


def _digits(column: str) -> int:
    return 1 if column.endswith("_ml") else digits_of(column)


def _color_of(name: str, labels: Labels) -> str:
    return next((css_color(labels.color(index)) for index, known in labels.foreground if known == name), "")
