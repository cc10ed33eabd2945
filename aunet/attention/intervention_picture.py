"""A picture of one case under intervention: each level's replaced maps, and how the prediction changes with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from numpy.typing import NDArray

from aunet.attention.panels import COLOR_BAR_TITLE, add_color_bar, level_title, show_level
from aunet.classes import Labels
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.figure_files import save_png
from aunet.reporting.pictures.panels import finish_panel, legend_lines, show_contours, show_image, show_regions
from aunet.reporting.pictures.planes import AxialView, LabelledScan, clearest_view, whole_window, window_around
from aunet.reporting.pictures.sheet import Margins, panel_sheet, panel_size

_PANEL_INCHES = 1.45
_CHANGES = {"lost": to_rgb("#FF3B7F"), "gained": to_rgb("#2E9BFF"), "other class": to_rgb("#FFD400")}

Label = NDArray[np.integer]


@dataclass(frozen=True)
class ReplacedLevel:
    """The mean map of one level's gates as one intervention left it, and the label map (H, W, D) predicted with it."""

    coefficients: LevelCoefficients
    prediction: Label


def intervention_picture(
    scan: LabelledScan,
    unchanged: Label,
    own: Mapping[int, LevelCoefficients],
    replaced: Mapping[int, Mapping[str, ReplacedLevel]],
    labels: Labels,
    path: Path,
    *,
    title: str = "",
    is_relative: bool = False,
) -> None:
    """Write a PNG with two rows per level: its maps, below them the differences to the ``unchanged`` prediction.

    Args:
        scan: the case on the network's grid, with its reference.
        unchanged: the label map (H, W, D) without intervention.
        own: by level, the mean of its gates' own maps.
        replaced: by level and intervention, in the order of the columns.
        labels: the classes.
        path: of the picture.
        title: above all panels.
        is_relative: whether maps are shown as multiples of their mean (softmax over space).
    """
    view, names = clearest_view(scan), list(next(iter(replaced.values())))
    panel = panel_size(scan.extent, _PANEL_INCHES)
    margins = Margins(left=0.42, right=0.62, top=0.46)
    sheet = panel_sheet(2 * len(own), 2 + len(names), panel, margins, (0.34 if is_relative else 0.05, 0.05))
    for axes, name in zip(sheet.panels[0], ("image, reference", "own map", *names), strict=True):
        axes.set_title(name, fontsize=7, pad=3)
    for row, (level, coefficients) in enumerate(own.items()):
        maps, changes = sheet.panels[2 * row], sheet.panels[2 * row + 1]
        _draw_maps(maps, view, coefficients, replaced[level], labels, is_relative=is_relative)
        _draw_changes(changes, view, unchanged, replaced[level], labels)
    titles = [
        [level_title(level, is_relative=is_relative).replace(" (", "\n("), "prediction"] for level in own.values()
    ]
    sheet.add_row_titles([text for pair in titles for text in pair])
    if not is_relative:
        add_color_bar(sheet, COLOR_BAR_TITLE)
    patches = [Patch(color=color, label=name) for name, color in _CHANGES.items()]
    sheet.add_title_and_legend(title, [*legend_lines(labels), *patches])
    save_png(sheet.figure, path, dots_per_inch=130)


def _draw_maps(
    panels: Sequence[Axes],
    view: AxialView,
    own: LevelCoefficients,
    replaced: Mapping[str, ReplacedLevel],
    labels: Labels,
    *,
    is_relative: bool,
) -> None:
    image, *others = panels
    show_image(image, view)
    show_contours(image, view, view.label, labels, width=0.8)
    finish_panel(image, whole_window(view.scan), has_marks=not view.scan.is_plane)
    levels = [own, *(level.coefficients for level in replaced.values())]
    for axes, level in zip(others, levels, strict=True):
        show_level(axes, view, level, 0, is_relative=is_relative)
        show_contours(axes, view, view.label, labels, width=0.5)
        finish_panel(axes, whole_window(view.scan))


def _draw_changes(
    panels: Sequence[Axes], view: AxialView, unchanged: Label, replaced: Mapping[str, ReplacedLevel], labels: Labels
) -> None:
    """Draw the unchanged prediction, then the places where each intervention changes it, around the organs."""
    first, second, *others = panels
    before = unchanged[:, :, view.index]
    window = window_around((view.label > 0) | (before > 0), view.scan)
    show_image(first, view)
    show_regions(first, view, [(before == index, labels.color(index)) for index, _ in labels.foreground], 0.45)
    finish_panel(first, window)
    second.set_axis_off()
    second.text(0.5, 0.5, "changes of the\nprediction", ha="center", va="center", fontsize=7)
    for axes, level in zip(others, replaced.values(), strict=True):
        after = level.prediction[:, :, view.index]
        regions = {
            "lost": (before > 0) & (after == 0),
            "gained": (before == 0) & (after > 0),
            "other class": (before > 0) & (after > 0) & (before != after),
        }
        show_image(axes, view)
        show_contours(axes, view, view.label, labels, width=0.5)
        show_regions(axes, view, [(regions[name], color) for name, color in _CHANGES.items()], 0.9)
        finish_panel(axes, window)
