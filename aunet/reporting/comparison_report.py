"""The page of a comparison: verdicts, tables and figures in one file that needs no other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aunet.files import write_text
from aunet.reporting.html import embed_picture, render_page
from aunet.reporting.tables import PaperTable
from aunet.runs.run_folder import RunFolder


def write_comparison_report(
    path: Path,
    title: str,
    sentences: Sequence[str],
    tables: Sequence[PaperTable],
    figures: Mapping[Path, str],
    runs: Mapping[str, RunFolder],
) -> None:
    """Write the page to ``path``.

    Args:
        path: of the HTML file.
        title: of the page.
        sentences: the verdicts.
        tables: in order.
        figures: PNG files to embed, and their captions.
        runs: by name, those whose cases the viewer shows.
    """
    pictures = [embed_picture(figure, caption, caption) for figure, caption in figures.items()]
    parts = {"title": title, "sentences": sentences, "tables": tables, "figures": pictures}
    if not runs:
        write_text(path, render_page("comparison.html", **parts, viewer=None))
        return
    from aunet.reporting.viewer.section import render_with_viewer  # loads matplotlib

    write_text(path, render_with_viewer("comparison.html", parts, runs))
