"""A sheet of equal panels, laid out in inches to avoid stretching and wasted space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge, as shares of a picture's width and height from its upper left corner."""

_TITLE_INCHES = 0.24  # of the top margin, for the title
_TITLE_AWAY = 0.08  # inches between the upper edge and the title
_NUMBER_INCHES = 0.07  # by which a number at the end of a colour bar reaches below it


@dataclass(frozen=True)
class Margins:
    """Inches around the grid of panels, for row titles, column titles, colour bars and the legend."""

    left: float = 0.05
    right: float = 0.05
    top: float = 0.46
    bottom: float = 0.36


Place = tuple[float, float, float, float]
"""Left, lower edge, width and height, as shares of a figure's width and height from its lower left corner."""


@dataclass(frozen=True)
class Sheet:
    """A figure and the places of its panels, ``places[row][column]``."""

    figure: Figure
    places: Sequence[Sequence[Place]]
    margins: Margins

    @cached_property
    def panels(self) -> Sequence[Sequence[Axes]]:
        """Return axes at all places, ``panels[row][column]``; they take longer to make than most of what they show."""
        return [[self.figure.add_axes(place) for place in row] for row in self.places]

    def add_axes_beside(self, inches_away: float, width: float, share: float = 1.0) -> Axes:
        """Add axes right of the grid, ``width`` inches wide, as tall as ``share`` of the grid and centred on it."""
        total_width, total_height = self.figure.get_size_inches()
        left = total_width - self.margins.right + inches_away
        height = total_height - self.margins.top - self.margins.bottom
        bottom = self.margins.bottom + height * (1 - share) / 2
        return self.figure.add_axes(
            (left / total_width, bottom / total_height, width / total_width, height * share / total_height)
        )

    def column_box(self, column: int, *, with_gap: bool = True) -> Box:
        """Return the box of a column: panels, titles, the margin left of the first, the gap to the next (or end)."""
        _width, height = self.figure.get_size_inches()
        left, _, panel_width, _ = self.places[0][column]
        is_last = column == len(self.places[0]) - 1
        end = 1.0 if is_last else self.places[0][column + 1][0]
        right = end if with_gap else left + panel_width
        return 0.0 if column == 0 else left, _TITLE_INCHES / height, right, self._lower_edge

    def margin_box(self) -> Box:
        """Return the box of the right margin and its contents, as high as a column."""
        width, height = self.figure.get_size_inches()
        return 1 - self.margins.right / width, _TITLE_INCHES / height, 1.0, self._lower_edge

    @property
    def _lower_edge(self) -> float:
        """Return the lower edge of panels and colour bar numbers, as a share of the height from the top."""
        return 1 - (self.margins.bottom - _NUMBER_INCHES) / self.figure.get_figheight()

    def add_title_and_legend(self, title: str, entries: Sequence[Artist], columns: int | None = None) -> None:
        """Add a title in the top margin and ``entries`` under the grid, ``columns`` per line, by default all in one."""
        add_title(self.figure, title)
        self.figure.legend(
            handles=list(entries),
            loc="lower center",
            ncols=columns or len(entries),
            fontsize=8,
            frameon=False,
            borderaxespad=0.3,
        )

    def add_column_titles(self, titles: Sequence[str]) -> None:
        """Add a title above each column."""
        away = 3 / 72 / self.figure.get_figheight()
        for title, (left, bottom, width, height) in zip(titles, self.places[0], strict=True):
            self.figure.text(left + width / 2, bottom + height + away, title, fontsize=8, ha="center", va="baseline")

    def add_row_titles(self, titles: Sequence[str]) -> None:
        """Add a title left of each row, read from below."""
        away = 4 / 72 / self.figure.get_figwidth()
        for title, (left, bottom, _, height) in zip(titles, (row[0] for row in self.places), strict=True):
            self.figure.text(left - away, bottom + height / 2, title, fontsize=8, rotation=90, ha="right", va="center")


def add_title(figure: Figure, title: str) -> None:
    """Add a title in the top margin of ``figure``."""
    figure.suptitle(title, fontsize=9, y=1 - _TITLE_AWAY / figure.get_figheight(), va="top")


def title_strip(title: str, width: float) -> Figure:
    """Return a figure of the title alone, ``width`` inches wide and as high as the top margin's part for it."""
    strip = Figure(figsize=(width, _TITLE_INCHES))
    add_title(strip, title)
    return strip


def panel_sheet(
    rows: int,
    columns: int,
    panel: tuple[float, float],
    margins: Margins | None = None,
    gap: tuple[float, float] = (0.05, 0.05),
) -> Sheet:
    """Return a white sheet of ``rows`` x ``columns`` panels; ``panel`` and ``gap`` are (across, down) in inches."""
    around = margins or Margins()
    (width, height), (gap_across, gap_down) = panel, gap
    total_width = around.left + columns * (width + gap_across) - gap_across + around.right
    total_height = around.top + rows * (height + gap_down) - gap_down + around.bottom
    figure = Figure(figsize=(total_width, total_height), facecolor="white")

    def place(row: int, column: int) -> Place:
        left = around.left + column * (width + gap_across)
        bottom = total_height - around.top - (row + 1) * height - row * gap_down
        return left / total_width, bottom / total_height, width / total_width, height / total_height

    return Sheet(figure, [[place(row, column) for column in range(columns)] for row in range(rows)], around)


def panel_size(extent: tuple[float, float], longest: float) -> tuple[float, float]:
    """Return (width, height) in inches of a panel with the proportions of ``extent`` (mm), ``longest`` at most."""
    scale = longest / max(extent)
    return extent[0] * scale, extent[1] * scale


def joined_columns(whole: Image.Image, columns: Sequence[Box]) -> Image.Image:
    """Return the boxes ``columns`` of the picture ``whole``, of one height, side by side."""
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
