"""``report.html``: a run in one self-contained file, made from the run's folder alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aunet.files import write_text
from aunet.reporting.attention_curves import AREA, LEVEL, RATIO, Quantity, attention_curves, is_recorded
from aunet.reporting.curves import training_curves
from aunet.reporting.html import Cell, HtmlTable, Picture, Tile, embed_drawing, embed_picture
from aunet.reporting.model_card import RunAnswers, Topics
from aunet.reporting.probe_section import FINDINGS, ProbeSection, probe_section
from aunet.reporting.score_section import dice_tiles, score_section
from aunet.reporting.summary_words import summarise_in_words
from aunet.reporting.tables import PHANTOM_NOTE
from aunet.reporting.viewer.section import render_with_viewer
from aunet.runs.epoch_rows import read_columns
from aunet.runs.inner_folders import AttentionFolder
from aunet.runs.run_folder import RunFolder

_AREA_NOTE = (
    "How well a coefficient distinguishes inside from outside: the probability that a place inside the class has a "
    "larger coefficient than one outside all classes (area under the ROC curve, on the map's own grid; mean over the "
    "recorded validation cases). 1: all places inside are above all outside; 0.5 (dotted): the map does not tell them "
    "apart."
)
_RATIO_NOTE = "Mean coefficient inside over the mean outside all classes; 1 (dotted): no contrast."
_LEVEL_NOTE = (
    "The level of the coefficients has no meaning, as the convolution and norm after a gate undo any common factor. "
    "Compare lines within a panel only."
)
_FILM_NOTE = (
    "Coefficients of the gates (colour) over an axial plane of a validation case, or all of a picture, with the "
    "contours of the reference label; a patient's right is on the left. Level 2 has half the image's resolution, each "
    "further level half of it. Compare places within a map: the height of a whole map has no meaning."
)


@dataclass(frozen=True)
class AttentionSection:
    """Films and curves of the coefficients; ``contrasts`` are empty in older runs, which did not record them."""

    films: list[Picture]
    contrasts: list[Picture]
    levels: Picture


def build_report(run_folder: Path) -> Path:
    """Write ``report.html`` to ``run_folder`` and return its path; it can be rebuilt at any time.

    If files are missing, as in an interrupted run, a line says so in place of their part.
    """
    run = RunFolder(run_folder)
    write_text(run.report, render_with_viewer("report.html", _parts(run), {"run": run}))
    return run.report


def _parts(run: RunFolder) -> dict[str, object]:
    """Return all that the template lays out but the viewer, which takes the bytes that are left."""
    facts = {key: value for key, value in run.facts.items() if key != "scores"}
    answers = RunAnswers(run)
    return {
        "title": f"{facts.get('model', 'network')} on {facts.get('data', 'data')}",
        "description": str(facts.get("data_description", "")),
        "banners": _banners(run),
        "words": summarise_in_words(run),
        "tiles": [*dice_tiles(run), *_fact_tiles(run)],
        "curves": _training_curves(run),
        "scores": score_section(run),
        "attention": _attention(run),
        "facts": HtmlTable((), [(Cell(key), Cell(value)) for key, value in _flatten(facts)]),
        "probes": _probes(run),
        "model_card": _topics(answers.model_card()),
        "checklist": _topics(answers.checklist()),
        "config": run.config.read_text(encoding="utf-8") if run.config.is_file() else None,
    }


def _topics(topics: Topics) -> HtmlTable:
    return HtmlTable((), [(Cell(topic), Cell(answer)) for topic, answer in topics])


def _probes(run: RunFolder) -> list[ProbeSection]:
    """Return the findings that ``aunet probe`` wrote to the run's folder or to folders in it."""
    return [probe_section(path.parent) for path in sorted([*run.path.glob(FINDINGS), *run.path.glob(f"*/{FINDINGS}")])]


def _banners(run: RunFolder) -> list[str]:
    """Return the sentences that qualify the whole report."""
    status = run.facts.get("status", "unknown")
    unfinished = [] if status == "finished" else [f"This run is not finished: its status is '{status}'."]
    return [*([PHANTOM_NOTE] if run.facts.get("is_phantom") else []), *run.caveats, *unfinished]


def _fact_tiles(run: RunFolder) -> list[Tile]:
    names = {"parameters": "parameters", "best_epoch": "best epoch, counted from 0", "seed": "seed"}
    tiles = [Tile(_format(run.facts[key]), name) for key, name in names.items() if run.facts.get(key) is not None]
    if missed := run.facts.get("region", {}).get("missed"):
        tiles.append(Tile(str(sum(map(len, missed.values()))), "cases not cropped, as data.region missed them"))
    return tiles


def _training_curves(run: RunFolder) -> Picture | None:
    metrics = read_columns(run.metrics)
    if metrics is None:
        return None
    svg = training_curves(metrics, run.labels)
    return embed_drawing(svg, "Training loss, validation Dice and learning rate by epoch")


def _attention(run: RunFolder) -> AttentionSection | None:
    statistics = read_columns(run.attention.statistics)
    if statistics is None:
        return None
    films = [
        embed_picture(film, f"Attention over the epochs: {AttentionFolder.case_of_film(film)}", _FILM_NOTE, widest=2000)
        for film in run.attention.films
    ]

    def draw(quantity: Quantity, description: str, note: str) -> Picture:
        return embed_drawing(attention_curves(statistics, run.labels, quantity), description, note)

    contrasts = (
        (AREA, "Area under the ROC curve by epoch", _AREA_NOTE),
        (RATIO, "Ratio inside / outside by epoch", _RATIO_NOTE),
    )
    return AttentionSection(
        films,
        [draw(*contrast) for contrast in contrasts] if is_recorded(statistics, AREA) else [],
        draw(LEVEL, "Mean coefficients by epoch", _LEVEL_NOTE),
    )


def _flatten(facts: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Return (dotted key, value as text) of nested facts."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + str(key), _format(value)))
    return rows


def _format(value: object) -> str:
    """Return the value as text: thousands separated, no needless digits, lists with commas."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_format(part) for part in value) or "–"
    return str(value)
