"""A picture of one scan with its predicted label map, for a look before it is used."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.reporting.pictures.figure_files import save_png
from aunet.reporting.pictures.panels import finish_panel, show_contours, show_image, show_regions
from aunet.reporting.pictures.planes import AxialView, LabelledScan, Triple, clearest_view, whole_window
from aunet.reporting.pictures.sheet import Margins, panel_sheet, panel_size

_PANEL_INCHES = 2.6
_LEGEND_COLUMNS, _LEGEND_LINE_INCHES = 4, 0.18
# More lines would be larger than the picture.
_MOST_NAMED = 24
_OPACITY = 0.35


def overlay_picture(
    image: NDArray[np.floating],
    label: NDArray[np.integer],
    spacing: Triple,
    labels: Labels,
    volumes_ml: dict[str, float],
    path: Path,
    *,
    title: str = "",
    intensities: tuple[float, float] | None = None,
) -> None:
    """Write a PNG: the axial plane that shows the organs best, and three planes with the label map over them.

    ``image`` and ``label`` (H, W, D) are in RAS order (``planes.in_ras_order``), ``spacing`` in mm. The legend names
    the classes found, with their volumes in ml. Of a picture, which has one plane, two panels are shown.
    """
    scan = LabelledScan(image, label, spacing)
    clearest = clearest_view(scan, intensities)
    overlaid = [clearest] if scan.is_plane else [replace(clearest, index=index) for index in _planes(clearest)]
    found = [(index, name) for index, name in labels.foreground if volumes_ml.get(name)]
    entries = _legend(found, labels, {} if scan.is_plane else volumes_ml)
    lines = -(-len(entries) // _LEGEND_COLUMNS)
    margins = Margins(bottom=0.18 + lines * _LEGEND_LINE_INCHES)
    sheet = panel_sheet(1, 1 + len(overlaid), panel_size(scan.extent, _PANEL_INCHES), margins)
    first, *others = sheet.panels[0]
    show_image(first, clearest)
    first.set_title("image" if scan.is_plane else _place(clearest), fontsize=8, pad=3)
    finish_panel(first, whole_window(scan), has_marks=not scan.is_plane)
    for axes, view in zip(others, overlaid, strict=True):
        show_image(axes, view)
        regions = [(view.label == index, labels.color(index)) for index, _ in found]
        show_regions(axes, view, regions, _OPACITY)
        show_contours(axes, view, view.label, labels)
        axes.set_title("prediction" if scan.is_plane else _place(view), fontsize=8, pad=3)
        finish_panel(axes, whole_window(scan))
    sheet.add_title_and_legend(title, entries, min(_LEGEND_COLUMNS, len(entries)))
    save_png(sheet.figure, path)


def _planes(clearest: AxialView) -> list[int]:
    """Return the plane that shows the organs best, and those at a sixth and five sixths of their extent."""
    slices = np.flatnonzero(clearest.scan.label.any(axis=(0, 1)))
    if not len(slices):
        last = clearest.scan.label.shape[2] - 1
        return sorted({last // 6, clearest.index, last - last // 6})
    low, high = slices[len(slices) // 6], slices[-1 - len(slices) // 6]
    return sorted({int(low), clearest.index, int(high)})


def _place(view: AxialView) -> str:
    """Return the index of the plane, counted from the feet, and the number of planes."""
    return f"axial plane {view.index + 1} of {view.scan.label.shape[2]}"


def _legend(found: Sequence[tuple[int, str]], labels: Labels, volumes_ml: dict[str, float]) -> list[Line2D]:
    entries = [
        Line2D([], [], color=labels.color(index), linewidth=2, label=name + _volume_words(volumes_ml.get(name)))
        for index, name in found[:_MOST_NAMED]
    ]
    if len(found) > _MOST_NAMED:
        entries.append(Line2D([], [], alpha=0, label=f"and {len(found) - _MOST_NAMED} more"))
    return entries or [Line2D([], [], alpha=0, label="nothing was found")]


def _volume_words(volume: float | None) -> str:
    return "" if volume is None else f" {volume:.3g} ml" if volume < 100 else f" {volume:.0f} ml"
