"""Figures to files: the same figure gives the same bytes, and a file is never half written."""

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from aunet.atomic_files import replaced_atomically

# Left to itself matplotlib writes its version into a PNG, and the date and random identifiers into an SVG.
_PNG_METADATA = {"Software": None}
# Of zlib: half the time of its usual 6, for files larger by a tenth.
PNG_COMPRESSION = 4
_SVG_METADATA = {"Date": None, "Creator": None}


def save_png(figure: Figure, path: Path, dots_per_inch: int = 150) -> None:
    """Write ``figure`` to ``path`` in one step."""
    with replaced_atomically(path) as temporary:
        figure.savefig(
            temporary,
            format="png",
            dpi=dots_per_inch,
            metadata=_PNG_METADATA,
            pil_kwargs={"compress_level": PNG_COMPRESSION},
        )


def svg_text(figure: Figure) -> str:
    """``figure`` as the text of an SVG file; letters are drawn as curves, so it looks alike on every machine."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "aunet", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata=_SVG_METADATA)
    return text.getvalue()
