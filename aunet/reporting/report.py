"""``report.html``: a run in one self-contained file, made from the run's folder alone."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from aunet.classes import Labels
from aunet.files import write_text
from aunet.reporting.attention_curves import AREA, LEVEL, RATIO, attention_curves, is_recorded
from aunet.reporting.curves import training_curves
from aunet.reporting.html import drawing, folded, listing, page, paragraph, picture, section, table, tiles
from aunet.reporting.score_section import dice_tiles, score_section
from aunet.reporting.tables import PHANTOM_NOTE
from aunet.runs.run_folder import AttentionFolder, Columns, RunFolder, read_columns

_AREA_NOTE = (
    "How well a coefficient tells inside from outside: the probability that a place inside the class has a larger "
    "coefficient than one outside all classes (area under the ROC curve, on the map's own grid; mean over the recorded "
    "validation cases). 1: all places inside are above all outside; 0.5 (dotted): the map does not tell them apart."
)
_RATIO_NOTE = "Mean coefficient inside over the mean outside all classes; 1 (dotted): no contrast."
_LEVEL_NOTE = (
    "The level of the coefficients has no meaning, as the convolution and norm after a gate undo any common factor. "
    "Compare lines within a panel only."
)
_NOT_RECORDED = "The contrast of inside and outside (area under the ROC curve, ratio) was not recorded by this run."
_FILM_NOTE = (
    "Coefficients of the gates (colour) over an axial plane of a validation case, or all of a picture, with the "
    "contours of the reference label; a patient's right is on the left. Level 2 has half the image's resolution, each "
    "further level half of it. Compare places within a map: the height of a whole map has no meaning."
)


def build_report(run_folder: Path) -> Path:
    """Write ``report.html`` to ``run_folder`` and return its path; it can be rebuilt at any time.

    If files are missing, as in an interrupted run, a line says so in place of their part.
    """
    run = RunFolder(run_folder)
    title = f"{run.facts.get('model', 'network')} on {run.facts.get('data', 'data')}"
    sections = [_header(run, title), _learning(run), score_section(run), _attention(run), _facts(run)]
    write_text(run.report, page(title, sections))
    return run.report


def _header(run: RunFolder, title: str) -> str:
    facts = run.facts
    lines = [f"<header>\n<h1>{escape(title)}</h1>", paragraph(str(facts.get("data_description", "")), "quiet")]
    if facts.get("is_phantom"):
        lines.append(paragraph(PHANTOM_NOTE, "banner"))
    lines += [paragraph(caveat, "banner") for caveat in run.caveats]
    if facts.get("status") != "finished":
        lines.append(
            paragraph(f"This run is not finished: its status is '{facts.get('status', 'unknown')}'.", "banner")
        )
    shown = [
        (_number(facts[key]), name, "")
        for key, name in (("parameters", "parameters"), ("best_epoch", "best epoch"), ("seed", "seed"))
        if facts.get(key) is not None
    ]
    return "\n".join([*lines, tiles([*dice_tiles(run), *shown]), "</header>"])


def _learning(run: RunFolder) -> str:
    metrics = read_columns(run.metrics)
    if metrics is None:
        return section("Learning", paragraph(f"No epoch is in {run.metrics.name} yet.", "quiet"))
    svg = training_curves(metrics, run.labels)
    return section("Learning", drawing(svg, "Training loss, validation Dice and learning rate by epoch"))


def _attention(run: RunFolder) -> str:
    statistics = read_columns(run.attention.statistics)
    if statistics is None:
        return section("Attention", paragraph("No attention was recorded: this network gates no skip.", "quiet"))
    films = [
        picture(
            film, f"Attention over the epochs: {AttentionFolder.case_of_film(film)}", escape(_FILM_NOTE), widest=2000
        )
        for film in run.attention.films
    ]
    return section("Attention over the epochs", *films[:1], *_attention_curves(statistics, run.labels), *films[1:])


def _attention_curves(statistics: Columns, labels: Labels) -> list[str]:
    levels = drawing(attention_curves(statistics, labels, LEVEL), "Mean coefficients by epoch", escape(_LEVEL_NOTE))
    if not is_recorded(statistics, AREA):
        return [paragraph(_NOT_RECORDED, "quiet"), levels]
    return [
        drawing(attention_curves(statistics, labels, AREA), "Area under the ROC curve by epoch", escape(_AREA_NOTE)),
        drawing(attention_curves(statistics, labels, RATIO), "Ratio inside / outside by epoch", escape(_RATIO_NOTE)),
        folded("Mean coefficients inside and outside", levels),
    ]


def _facts(run: RunFolder) -> str:
    facts = {key: value for key, value in run.facts.items() if key != "scores"}
    rows = [(escape(key), escape(value)) for key, value in _flattened(facts)]
    config = run.config.read_text(encoding="utf-8") if run.config.is_file() else ""
    return section(
        "The run",
        folded(f"Facts ({run.record.name})", table((), rows, is_of_words=True)),
        folded(f"Configuration ({run.config.name})", listing(config)) if config else "",
    )


def _flattened(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return (dotted key, value as text) of nested facts."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flattened(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + str(key), _number(value)))
    return rows


def _number(value: Any) -> str:
    """Return the value as text: thousands separated, no needless digits, lists with commas."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_number(part) for part in value) or "–"
    return str(value)
