"""Figures as files: the same figure yields the same bytes, and a file is never half written."""

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from aunet.files import replaced_atomically

# By default matplotlib writes its version into a PNG, and the date and random identifiers into an SVG.
_PNG_METADATA = {"Software": None}
# zlib's level: half the time of its default 6, for files larger by a tenth.
PNG_COMPRESSION = 4
_SVG_METADATA = {"Date": None, "Creator": None}


def save_png(figure: Figure, path: Path, dots_per_inch: int = 150) -> None:
    """Write ``figure`` to ``path`` atomically."""
    with replaced_atomically(path) as temporary:
        figure.savefig(
            temporary,
            format="png",
            dpi=dots_per_inch,
            metadata=_PNG_METADATA,
            pil_kwargs={"compress_level": PNG_COMPRESSION},
        )


def svg_text(figure: Figure) -> str:
    """Return ``figure`` as the text of an SVG file; letters are curves, so it looks the same on every machine."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "aunet", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata=_SVG_METADATA)
    return text.getvalue()
