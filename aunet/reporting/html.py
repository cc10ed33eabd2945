"""The parts of a report's page as plain values; ``templates/`` lays them out and escapes their text."""

import base64
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

_WEBP_QUALITY = 85


@dataclass(frozen=True)
class Tile:
    """A large value with its name below; ``color`` (CSS) marks the name."""

    value: str
    name: str
    color: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table with small ``remarks`` below its text; ``color`` (CSS) marks the text."""

    text: str
    remarks: tuple[str, ...] = ()
    color: str = ""


@dataclass(frozen=True)
class HtmlTable:
    """A table; without ``columns`` it has no head."""

    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


@dataclass(frozen=True)
class Picture:
    """A picture embedded as a data URL: ``title`` stands out in its caption, ``description`` replaces it in text."""

    source: str
    description: str
    caption: str = ""
    title: str = ""


def render_page(template: str, **values: object) -> str:
    """Return the page that ``template`` makes of ``values``; it needs no other file.

    A name that the template uses and ``values`` lack raises jinja2.UndefinedError.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    """Return the environment, which escapes everything that the templates insert."""
    loader = PackageLoader("aunet.reporting")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)


def embed_picture(path: Path, description: str, caption: str = "", title: str = "", widest: int = 1800) -> Picture:
    """Return the image at ``path``, at most ``widest`` pixels wide, compressed for the screen."""
    return Picture(screen_source(path, widest), description, caption, title)


def screen_source(image: Path | BinaryIO, widest: int = 1800) -> str:
    """Return an image file, at most ``widest`` pixels wide, compressed for the screen, as a data URL."""
    with Image.open(image) as opened:
        small = opened.convert("RGB")
    small.thumbnail((widest, 20 * widest), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, format="WEBP", quality=_WEBP_QUALITY)
    return _data_url("image/webp", data.getvalue())


def embed_drawing(svg: str, description: str, caption: str = "") -> Picture:
    """Return an SVG, isolated from the page's own names and styles."""
    return Picture(_data_url("image/svg+xml", svg.encode()), description, caption)


def css_color(color: tuple[float, float, float]) -> str:
    """Return red, green and blue in 0..1 as a CSS colour."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
