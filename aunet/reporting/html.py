"""The parts of an HTML page. Text is escaped here; arguments whose names end in ``_html`` are already markup."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from aunet.reporting.page_style import STYLE

_WEBP_QUALITY = 85


def page(title: str, sections_html: Iterable[str]) -> str:
    """Return a whole page that needs no other file."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections_html if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts_html: str) -> str:
    """Return a section of the page with its heading."""
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts_html) + "\n</section>"


def paragraph(text: str, style: str = "") -> str:
    """Return a paragraph; ``style`` is "", "quiet", "note" or "banner"."""
    return f'<p class="{style}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>"


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """Return large values, each with its name below: (value, name, CSS colour of a mark before the name or "")."""
    cells = [
        f'<div class="tile"><b>{escape(value)}</b><span>{swatch(color)}{escape(name)}</span></div>'
        for value, name, color in entries
    ]
    return '<div class="tiles">' + "".join(cells) + "</div>"


def swatch(color: str) -> str:
    """Return a small square in a class colour; nothing for ""."""
    return f'<i class="swatch" style="background:{escape(color)}"></i>' if color else ""


def css_color(color: tuple[float, float, float]) -> str:
    """Return red, green and blue in 0..1 as a CSS colour."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)


def table(columns: Sequence[str], rows_html: Iterable[Sequence[str]], *, is_of_words: bool = False) -> str:
    """Return a table; cells of ``rows_html`` are markup, numbers aligned right, words (``is_of_words``) left."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows_html)
    style = ' class="words"' if is_of_words else ""
    head_html = f"<thead><tr>{head}</tr></thead>" if columns else ""
    return f'<div class="scroll"><table{style}>{head_html}<tbody>\n{body}\n</tbody></table></div>'


def folded(title: str, content_html: str) -> str:
    """Return content that a click on its title shows."""
    return f"<details><summary>{escape(title)}</summary>\n{content_html}\n</details>"


def listing(text: str) -> str:
    """Return preformatted text, such as a YAML file."""
    return f"<pre>{escape(text)}</pre>"


def picture(path: Path, description: str, caption_html: str = "", widest: int = 1800) -> str:
    """Return a figure that embeds the image at ``path``, at most ``widest`` pixels wide, compressed for the screen."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((widest, 20 * widest), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, format="WEBP", quality=_WEBP_QUALITY)
    return _figure("image/webp", data.getvalue(), description, caption_html)


def drawing(svg: str, description: str, caption_html: str = "") -> str:
    """Return a figure that embeds an SVG, isolated from the page's own names and styles."""
    return _figure("image/svg+xml", svg.encode(), description, caption_html)


def _figure(kind: str, content: bytes, description: str, caption_html: str) -> str:
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    caption = f"<figcaption>{caption_html}</figcaption>" if caption_html else ""
    return f'<figure><img src="{source}" alt="{escape(description)}">{caption}</figure>'
