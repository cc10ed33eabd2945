"""The page of a comparison: verdicts, tables and figures in one file that needs no other."""

from collections.abc import Sequence
from pathlib import Path

from aunet.files import write_text
from aunet.reporting.html import embed_picture, render_page
from aunet.reporting.tables import PaperTable


def write_comparison_report(
    path: Path, title: str, sentences: Sequence[str], tables: Sequence[PaperTable], figures: Sequence[Path]
) -> None:
    """Write the page to ``path``.

    Args:
        path: of the HTML file.
        title: of the page.
        sentences: the verdicts.
        tables: in order.
        figures: PNG files to embed; each is captioned by its name.
    """
    names = [figure.stem.replace("_", " ") for figure in figures]
    pictures = [embed_picture(figure, name, name) for figure, name in zip(figures, names, strict=True)]
    write_text(path, render_page("comparison.html", title=title, sentences=sentences, tables=tables, figures=pictures))
