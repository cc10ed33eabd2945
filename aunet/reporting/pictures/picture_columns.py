"""Columns of a picture as a separate picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from aunet.files import replaced_atomically
from aunet.reporting.pictures.figure_files import PNG_COMPRESSION

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge, as shares of a picture's width and height from its upper left corner."""


def write_columns(picture: Path, parts: Mapping[Path, Sequence[Box]]) -> None:
    """Write, to each path in ``parts``, a PNG of its boxes of the PNG ``picture``, of one height, side by side."""
    with Image.open(picture) as file:
        whole = file.convert("RGB")
    for path, columns in parts.items():
        with replaced_atomically(path) as temporary:
            _joined(whole, columns).save(temporary, format="PNG", compress_level=PNG_COMPRESSION)


def _joined(whole: Image.Image, columns: Sequence[Box]) -> Image.Image:
    width, height = whole.size
    pixels = [
        whole.crop((round(left * width), round(upper * height), round(right * width), round(lower * height)))
        for left, upper, right, lower in columns
    ]
    joined = Image.new("RGB", (sum(part.width for part in pixels), max(part.height for part in pixels)), "white")
    across = 0
    for part in pixels:
        joined.paste(part, (across, 0))
        across += part.width
    return joined
