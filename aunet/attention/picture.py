"""A picture of one scan beside the coefficients of every level."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from aunet.attention.panels import COLOR_BAR_TITLE, add_color_bar, level_title, show_level
from aunet.classes import Labels
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.figure_files import save_png
from aunet.reporting.pictures.panels import finish_panel, legend_lines, show_contours, show_image
from aunet.reporting.pictures.planes import AxialView, LabelledScan, clearest_view, whole_window
from aunet.reporting.pictures.sheet import Box, Margins, Sheet, panel_sheet, panel_size

_PANEL_INCHES = 2.3


def attention_picture(
    scan: LabelledScan,
    levels: Sequence[LevelCoefficients],
    labels: Labels,
    path: Path,
    *,
    title: str = "",
    is_relative: bool = False,
) -> dict[int, list[Box]]:
    """Write a PNG: the scan with its label, beside it each level's coefficients, a row for each gate of a skip.

    Sigmoid coefficients share one scale from 0 to 1. With ``is_relative`` (softmax over space), each panel shows
    multiples of its map's mean on its own scale.

    Returns:
        By level, the columns that show it alone: the scan, its coefficients and the shared scale, if any.
    """
    view = clearest_view(scan)
    num_maps = max(len(level.values) for level in levels)
    margins = Margins(left=0.22 if num_maps > 1 else 0.05, right=0.4 if is_relative else 0.65)
    panel = panel_size(scan.extent, _PANEL_INCHES)
    sheet = panel_sheet(num_maps, 1 + len(levels), panel, margins, (0.36 if is_relative else 0.05, 0.05))
    _draw_reference_column(sheet, view, labels)
    for column, level in enumerate(levels, start=1):
        sheet.panels[0][column].set_title(level_title(level, is_relative=is_relative), fontsize=8, pad=3)
        for row in range(num_maps):
            _draw_map(sheet.panels[row][column], view, level, row, labels, is_relative=is_relative)
    if num_maps > 1:
        sheet.add_row_titles([f"gate {number + 1}" for number in range(num_maps)])
    if not is_relative:
        add_color_bar(sheet, COLOR_BAR_TITLE)
    sheet.add_title_and_legend(title, legend_lines(labels))
    save_png(sheet.figure, path, dots_per_inch=110)
    scale = [] if is_relative else [sheet.margin_box()]
    return {
        level.level: [sheet.column_box(0), sheet.column_box(column, with_gap=is_relative), *scale]
        for column, level in enumerate(levels, start=1)
    }


def _draw_reference_column(sheet: Sheet, view: AxialView, labels: Labels) -> None:
    """Draw the image with the label's contours on top, and the image alone in any further rows."""
    window = whole_window(view.scan)
    for row, axes in enumerate(panels[0] for panels in sheet.panels):
        show_image(axes, view)
        if row == 0:
            show_contours(axes, view, view.label, labels)
        finish_panel(axes, window, has_marks=row == 0 and not view.scan.is_plane)
    sheet.panels[0][0].set_title("image and label", fontsize=8, pad=3)


def _draw_map(
    axes: Axes, view: AxialView, level: LevelCoefficients, number: int, labels: Labels, *, is_relative: bool
) -> None:
    if number >= len(level.values):
        axes.set_axis_off()
        return
    show_level(axes, view, level, number, is_relative=is_relative)
    show_contours(axes, view, view.label, labels, width=0.8)
    finish_panel(axes, whole_window(view.scan))
