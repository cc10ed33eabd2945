"""The findings of ``aunet probe`` as a page and as a section of a report, made from the probe's folder alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.errors import UserError
from aunet.files import JsonObject, read_json_object, write_text
from aunet.reporting.html import Picture, embed_picture, render_page

FINDINGS, PAGE, PICTURES = "probe.json", "probe.html", "pictures"
_NAME_COLUMNS = 2  # of a file that does not record them
_REMEDY = "`aunet probe RUN --output DIR` writes it."

_PICTURE_NOTE = (
    "For each level: the mean of its gates' maps, as it is and as each intervention leaves it; below, where the"
    " prediction changes with it. Contours: the reference. A patient's right is on the left."
)


@dataclass(frozen=True)
class ProbeTable:
    """A table of text in groups of rows, of which the first alone names the group; folded ones show by a click.

    The first ``name_columns`` columns hold names, the others numbers.
    """

    title: str
    columns: Sequence[str]
    groups: Sequence[Sequence[Sequence[str]]]
    notes: Sequence[str]
    is_folded: bool
    name_columns: int


@dataclass(frozen=True)
class ProbeSection:
    """The section that ``templates/probe_section.html`` lays out, under the name ``probe``."""

    notes: Sequence[str]
    tables: Sequence[ProbeTable]
    pictures: Sequence[Picture]


def write_probe_page(folder: Path) -> Path:
    """Write ``probe.html`` to the ``folder`` of a probe from its other files, and return its path."""
    findings = _findings(folder)
    title = f"Probe of {findings.get('model', 'a run')}"
    section = probe_section(folder)
    text = render_page("probe.html", title=title, description=findings.get("description", ""), probe=section)
    write_text(folder / PAGE, text)
    return folder / PAGE


def probe_section(folder: Path) -> ProbeSection:
    """Return the findings in ``folder``; raise UserError unless ``aunet probe`` wrote them."""
    findings = _findings(folder)
    try:
        notes = list(findings["notes"])
        tables = [_table(found) for found in findings["tables"] if found["groups"]]  # older probes wrote empty ones
        pictured: set[str] = set(findings["pictured_cases"])
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / FINDINGS}: does not hold the findings of a probe ({error}). {_REMEDY}") from None
    pictures = [
        embed_picture(path, f"Interventions on {path.stem}", _PICTURE_NOTE, path.stem, widest=2000)
        for path in sorted((folder / PICTURES).glob("*.png"))
        if path.stem in pictured
    ]
    return ProbeSection(notes, tables, pictures)


def _findings(folder: Path) -> JsonObject:
    return read_json_object(folder / FINDINGS, _REMEDY)


def _table(found: JsonObject) -> ProbeTable:
    groups = [[list(row) for row in group] for group in found["groups"]]
    notes, num_names = list(found["notes"]), int(found.get("name_columns", _NAME_COLUMNS))
    return ProbeTable(found["title"], list(found["columns"]), groups, notes, found["is_folded"], num_names)
