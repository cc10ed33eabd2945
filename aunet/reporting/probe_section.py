"""The findings of ``aunet probe`` in HTML, made from its folder alone."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from aunet.data.io.json_files import read_json
from aunet.files import write_text
from aunet.reporting.html import folded, page, paragraph, picture, section, table
from aunet.reporting.tables import PHANTOM_NOTE

_PICTURE_NOTE = (
    "For each level: its gates' mean map, as it is and as each intervention leaves it, and below the places where the"
    " prediction changes with it. Contours: the reference. A patient's right is on the left."
)


def write_probe_report(folder: Path) -> Path:
    """Write ``probe.html`` to ``folder`` from the other files of a probe, and return its path."""
    path = folder / "probe.html"
    title = f"Probe of {_findings(folder)['model']}"
    write_text(path, page(title, [f"<header>\n<h1>{escape(title)}</h1>\n</header>", probe_section(folder)]))
    return path


def probe_section(folder: Path) -> str:
    """Return the section of a report that shows the findings in ``folder``: tables, then pictures."""
    findings = _findings(folder)
    parts = [paragraph(findings["description"], "quiet")]
    if findings["is_phantom"]:
        parts.append(paragraph(PHANTOM_NOTE, "banner"))
    parts += [paragraph(note, "banner") for note in findings["notes"]]
    for found in findings["tables"]:
        shown = _table(found)
        parts.append(
            folded(found["title"], shown) if found["is_folded"] else f"<h3>{escape(found['title'])}</h3>{shown}"
        )
    for path in sorted((folder / "pictures").glob("*.png")):
        parts.append(
            picture(path, f"Interventions on {path.stem}", escape(f"{path.stem}. {_PICTURE_NOTE}"), widest=2000)
        )
    return section("Does attention matter?", *parts)


def _findings(folder: Path) -> Mapping[str, Any]:
    return read_json(folder / "probe.json", "It is written by `aunet probe RUN --output DIR`.")


def _table(found: Mapping[str, Any]) -> str:
    rows = [[escape(cell) for cell in row] for group in found["groups"] for row in group]
    notes = "".join(paragraph(note, "note") for note in found["notes"])
    return table(found["columns"], rows, is_of_words=True) + notes
