"""A picture of one scan beside the coefficients of every level."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from aunet.attention.panels import COLOR_BAR_TITLE, MapPixels, add_color_bar, add_marks, add_own_bars, level_title
from aunet.classes import Labels
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.panels import legend_lines
from aunet.reporting.pictures.pixels import FilledSheet, rendered
from aunet.reporting.pictures.planes import LabelledScan, clearest_view
from aunet.reporting.pictures.sheet import Box, Margins, Sheet, panel_sheet, panel_size, title_strip

_PANEL_INCHES, _DOTS_PER_INCH = 2.3, 110


@dataclass(frozen=True)
class DrawnPicture:
    """A picture; ``columns`` are by level the parts that show it alone: scan, coefficients, the shared scale if any."""

    image: Image.Image
    columns: Mapping[int, Sequence[Box]]


class AttentionPicture:
    """The picture of a scan with its label, beside it each level's coefficients, a row for each gate of a skip.

    What all epochs share is drawn once.

    Args:
        scan: with its label.
        labels: the classes.
        is_relative: whether the coefficients compete over space (softmax): each panel then shows multiples of its map's
            mean on its own scale. Sigmoid coefficients share one scale from 0 to 1.
    """

    def __init__(self, scan: LabelledScan, labels: Labels, *, is_relative: bool = False) -> None:
        self._view = clearest_view(scan)
        self._labels = labels
        self._is_relative = is_relative
        self._drawn: tuple[Hashable, _DrawnSheet] | None = None

    def draw(self, levels: Sequence[LevelCoefficients], title: str = "") -> DrawnPicture:
        """Return the picture of ``levels``."""
        # Softmax maps have scales of their own.
        key = (
            None if self._is_relative else tuple((level.level, level.cell_size, len(level.values)) for level in levels)
        )
        if self._drawn is None or key is None or self._drawn[0] != key:
            self._drawn = key, self._draw_sheet(levels)
        drawn = self._drawn[1]
        panels = {(row, 0): drawn.pixels.image if row else drawn.pixels.labelled for row in range(drawn.num_rows)}
        for column, level in enumerate(levels, start=1):
            for row in range(len(level.values)):
                panels[row, column] = drawn.pixels.level(level, row)
        strip = rendered(title_strip(title, drawn.width), _DOTS_PER_INCH)
        return DrawnPicture(drawn.sheet.fill(panels, strip), drawn.columns)

    def _draw_sheet(self, levels: Sequence[LevelCoefficients]) -> "_DrawnSheet":
        view, is_relative = self._view, self._is_relative
        num_rows = max(len(level.values) for level in levels)
        margins = Margins(left=0.22 if num_rows > 1 else 0.05, right=0.4 if is_relative else 0.65)
        panel = panel_size(view.scan.extent, _PANEL_INCHES)
        sheet = panel_sheet(num_rows, 1 + len(levels), panel, margins, (0.36 if is_relative else 0.05, 0.05))
        add_marks(sheet, view)
        if is_relative:
            add_own_bars(sheet, view, [[(level, row) for row in range(len(level.values))] for level in levels])
        sheet.add_column_titles(["image and label", *(level_title(level, is_relative=is_relative) for level in levels)])
        if num_rows > 1:
            sheet.add_row_titles([f"gate {number + 1}" for number in range(num_rows)])
        if not is_relative:
            add_color_bar(sheet, COLOR_BAR_TITLE)
        sheet.add_title_and_legend("", legend_lines(self._labels))
        filled = FilledSheet(sheet, _DOTS_PER_INCH)
        pixels = MapPixels(
            view, self._labels, filled.panel_size, _DOTS_PER_INCH, line_width=0.8, is_relative=is_relative
        )
        return _DrawnSheet(
            filled, pixels, num_rows, sheet.figure.get_figwidth(), _columns(sheet, levels, is_relative=is_relative)
        )


@dataclass(frozen=True)
class _DrawnSheet:
    sheet: FilledSheet
    pixels: MapPixels
    num_rows: int
    width: float
    columns: Mapping[int, Sequence[Box]]


def _columns(sheet: Sheet, levels: Sequence[LevelCoefficients], *, is_relative: bool) -> dict[int, list[Box]]:
    scale = [] if is_relative else [sheet.margin_box()]
    return {
        level.level: [sheet.column_box(0), sheet.column_box(column, with_gap=is_relative), *scale]
        for column, level in enumerate(levels, start=1)
    }
