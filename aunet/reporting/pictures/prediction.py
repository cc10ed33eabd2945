"""A picture of one scan: how a prediction differs from the reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.reporting.pictures.figure_files import save_png
from aunet.reporting.pictures.panels import (
    Color,
    finish_panel,
    legend_lines,
    show_contours,
    show_image,
    show_regions,
    show_window,
)
from aunet.reporting.pictures.planes import AxialView, LabelledScan, Triple, clearest_view, whole_window, window_around
from aunet.reporting.pictures.sheet import Sheet, panel_sheet, panel_size

_PANEL_INCHES = 2.3
DIFFERENCES = {
    "false negative": to_rgb("#FF3B7F"),
    "false positive": to_rgb("#2E9BFF"),
    "wrong class": to_rgb("#FFD400"),
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
    patches = [Patch(color=color, label=name) for name, color in DIFFERENCES.items()]
    sheet.add_title_and_legend(title, [*legend_lines(labels), *patches])
    save_png(sheet.figure, path)


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
        "false negative": (label > 0) & (guess == 0),
        "false positive": (label == 0) & (guess > 0),
        "wrong class": (label > 0) & (guess > 0) & (label != guess),
    }
    return [(regions[name], color) for name, color in DIFFERENCES.items()]
