"""Some columns of a picture as a picture of their own."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from aunet.atomic_files import replaced_atomically

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge, as shares of a picture's width and height from its upper left corner."""


def write_columns(picture: Path, columns: Sequence[Box], path: Path) -> None:
    """Write the boxes ``columns``, of one height, of the PNG ``picture`` to the PNG ``path``, side by side."""
    with Image.open(picture) as whole:
        width, height = whole.size
        pixels = [
            whole.convert("RGB").crop(
                (round(left * width), round(upper * height), round(right * width), round(lower * height))
            )
            for left, upper, right, lower in columns
        ]
    joined = Image.new("RGB", (sum(part.width for part in pixels), max(part.height for part in pixels)), "white")
    across = 0
    for part in pixels:
        joined.paste(part, (across, 0))
        across += part.width
    with replaced_atomically(path) as temporary:
        joined.save(temporary, format="PNG")
