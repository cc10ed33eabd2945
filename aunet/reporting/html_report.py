"""``report.html``: a run told in one self-contained file, made from nothing but the run's folder."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from aunet.atomic_files import write_text
from aunet.reporting.curves import attention_curves, training_curves
from aunet.reporting.html_elements import drawing, folded, listing, page, paragraph, picture, section, table, tiles
from aunet.reporting.run_files import RunFiles
from aunet.reporting.score_section import dice_tiles, score_section
from aunet.reporting.tables import PHANTOM_NOTE

_ATTENTION_NOTE = (
    "Mean coefficients inside each organ and outside all, over the recorded validation cases. A gate that has found an "
    "organ shows a gap between the organ's line and the dashed one; a line near 1 lets everything pass."
)
_FILM_NOTE = (
    "Coefficients of the gates (colour) over an axial plane of a validation case, or all of a picture, with the "
    "contours of the reference label; a patient's right is on the left. Level 2 has half the image's resolution, each "
    "further level half of it."
)


def build_report(run_folder: Path) -> Path:
    """Write ``report.html`` into ``run_folder`` and give its path; it can be made again at any time.

    Parts whose files are missing, as in an interrupted run, are left out with a line that says so.
    """
    run = RunFiles(run_folder)
    title = f"{run.facts.get('model', 'network')} on {run.facts.get('data', 'data')}"
    sections = [_header(run, title), _learning(run), score_section(run), _attention(run), _facts(run)]
    path = run_folder / "report.html"
    write_text(path, page(title, sections))
    return path


def _header(run: RunFiles, title: str) -> str:
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


def _learning(run: RunFiles) -> str:
    if run.metrics is None:
        return section("Learning", paragraph("No epoch is in metrics.csv yet.", "quiet"))
    svg = training_curves(run.metrics, run.labels)
    return section("Learning", drawing(svg, "Training loss, validation Dice and learning rate by epoch"))


def _attention(run: RunFiles) -> str:
    statistics = run.attention_statistics
    if statistics is None:
        return section("Attention", paragraph("No attention was recorded: this network gates no skip.", "quiet"))
    curves = drawing(attention_curves(statistics, run.labels), "Mean coefficients by epoch", escape(_ATTENTION_NOTE))
    films = [
        picture(film, f"Attention over the epochs: {film.stem.removeprefix('film_')}", escape(_FILM_NOTE), widest=2000)
        for film in run.films
    ]
    return section("Attention over the epochs", *films[:1], curves, *films[1:])


def _facts(run: RunFiles) -> str:
    facts = {key: value for key, value in run.facts.items() if key != "scores"}
    rows = [(escape(key), escape(value)) for key, value in _flattened(facts)]
    config = run.config
    return section(
        "The run",
        folded("Facts (run.json)", table((), rows, is_of_words=True)),
        folded("Configuration (config.yaml)", listing(config)) if config else "",
    )


def _flattened(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """(dotted key, value as text) of nested facts."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flattened(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + str(key), _number(value)))
    return rows


def _number(value: Any) -> str:
    """Thousands apart, no needless digits, lists with commas."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_number(part) for part in value) or "–"
    return str(value)
