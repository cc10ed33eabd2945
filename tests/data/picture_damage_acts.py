"""Acts that damage pictures."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pictures import save_picture
from PIL import Image

from tests.data.damage_acts import Act


def picture(name: str, array: NDArray[Any]) -> Act:
    """Write ``array`` as the picture."""
    return lambda root: save_picture(root / name, array)


def png_of(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """Write a PNG whose header claims this size, with few pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    told = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = zlib.compress(bytes(20 * (1 + 18 * 6)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", told) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def two_pages(root: Path) -> None:
    page = Image.fromarray(np.zeros((18, 20), np.uint8))
    (root / "images" / "cell_0.png").unlink()
    page.save(root / "images" / "cell_0.tif", save_all=True, append_images=[page])
