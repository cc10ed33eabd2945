"""The figures of a comparison as files, and its page: verdicts, tables and figures in one file that needs no other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.files import write_bytes, write_text
from aunet.reporting.tables import PaperTable
from aunet.runs.run_folder import REPORT, RunFolder


@dataclass(frozen=True)
class DrawnFigure:
    """A figure of a comparison that is not written yet.

    Attributes:
        name: of its files, without ending.
        caption: on the page.
        pdf: content of the vector file.
        png: content of the picture.
        source: the picture on the page, as a data URL.
    """

    name: str
    caption: str
    pdf: bytes
    png: bytes
    source: str


def write_comparison_report(
    folder: Path,
    title: str,
    sentences: Sequence[str],
    tables: Sequence[PaperTable],
    figures: Sequence[DrawnFigure],
    runs: Mapping[str, RunFolder],
) -> None:
    """Write the figures, as PDF and PNG, to figures/ in ``folder``, and the page to report.html.

    Args:
        folder: of the comparison.
        title: of the page.
        sentences: the verdicts.
        tables: in order.
        figures: in order.
        runs: by name, those whose cases the viewer shows.
    """
    from aunet.reporting.html import Picture, render_page  # loads jinja2

    for figure in figures:
        # The ending is appended, as the name of a model may hold a dot: lr=0.01.
        write_bytes(folder / "figures" / f"{figure.name}.pdf", figure.pdf)
        write_bytes(folder / "figures" / f"{figure.name}.png", figure.png)
    pictures = [Picture(figure.source, figure.caption, figure.caption) for figure in figures]
    parts = {"title": title, "sentences": sentences, "tables": tables, "figures": pictures}
    if not runs:
        write_text(folder / REPORT, render_page("comparison.html", **parts, viewer=None))
        return
    from aunet.reporting.viewer.section import render_with_viewer  # loads matplotlib

    write_text(folder / REPORT, render_with_viewer("comparison.html", parts, runs))
