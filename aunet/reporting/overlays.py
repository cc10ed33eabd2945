"""Pictures of one scan: the coefficients of the gates, and the differences of a prediction from the reference."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from numpy.typing import NDArray

from aunet.labels import Labels
from aunet.reporting.coefficient_panels import (
    COLOR_BAR_TITLE,
    LevelCoefficients,
    add_color_bar,
    level_title,
    show_level,
)
from aunet.reporting.figure_files import save_png
from aunet.reporting.panels import (
    Color,
    finish_panel,
    legend_lines,
    show_contours,
    show_image,
    show_regions,
    show_window,
)
from aunet.reporting.picture_columns import Box
from aunet.reporting.planes import AxialView, LabelledScan, Triple, clearest_view, whole_window, window_around
from aunet.reporting.sheet import Margins, Sheet, panel_sheet, panel_size

_PANEL_INCHES = 2.3
_DIFFERENCES = {"missed": to_rgb("#FF3B7F"), "invented": to_rgb("#2E9BFF"), "wrong class": to_rgb("#FFD400")}


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


def prediction_picture(
    image: NDArray[np.floating],
    label: NDArray[np.integer],
    prediction: NDArray[np.integer],
    spacing: Triple,
    labels: Labels,
    path: Path,
    *,
    title: str = "",
    intensities: tuple[float, float] | None = None,
) -> None:
    """Write a PNG: an axial plane, then reference, prediction and their differences in the part around the organs.

    ``image``, ``label`` and ``prediction`` (H, W, D) are in RAS order (``planes.in_ras_order`` turns a scan's own
    arrays), ``spacing`` in mm. ``intensities`` are those shown black and white, e.g. a window in HU; by default
    robust ends of the plane.
    """
    assert prediction.shape == label.shape, f"prediction {prediction.shape}, label {label.shape}"
    scan = LabelledScan(image, label if label.any() else prediction, spacing)
    view = replace(clearest_view(scan, intensities), scan=LabelledScan(image, label, spacing))
    guess = prediction[:, :, view.index]
    sheet = panel_sheet(1, 4, panel_size(scan.extent, _PANEL_INCHES))
    names = ("image" if scan.is_plane else "axial plane", "reference", "prediction", "differences")
    for axes, name in zip(sheet.panels[0], names, strict=True):
        show_image(axes, view)
        axes.set_title(name, fontsize=8, pad=3)
    _draw_details(sheet, view, guess, labels)
    patches = [Patch(color=color, label=name) for name, color in _DIFFERENCES.items()]
    sheet.add_title_and_legend(title, [*legend_lines(labels), *patches])
    save_png(sheet.figure, path)


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


def _draw_details(sheet: Sheet, view: AxialView, guess: NDArray[np.integer], labels: Labels) -> None:
    window = window_around((view.label > 0) | (guess > 0), view.scan)
    whole, *details = sheet.panels[0]
    show_window(whole, window)
    finish_panel(whole, whole_window(view.scan), has_marks=not view.scan.is_plane)
    for axes, plane in zip(details[:2], (view.label, guess), strict=True):
        show_regions(axes, view, [(plane == index, labels.color(index)) for index, _ in labels.foreground], 0.3)
        show_contours(axes, view, plane, labels)
    show_regions(details[2], view, _differing_regions(view.label, guess), 0.75)
    for axes in details:
        finish_panel(axes, window, has_marks=axes is details[0] and not view.scan.is_plane)


def _differing_regions(label: NDArray[np.integer], guess: NDArray[np.integer]) -> list[tuple[NDArray[np.bool_], Color]]:
    regions = {
        "missed": (label > 0) & (guess == 0),
        "invented": (label == 0) & (guess > 0),
        "wrong class": (label > 0) & (guess > 0) & (label != guess),
    }
    return [(regions[name], color) for name, color in _DIFFERENCES.items()]
