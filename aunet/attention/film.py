"""The contact sheet of the paper's figure: each level's attention, from the first epoch to the last."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aunet.attention.panels import COLOR_BAR_TITLE, MapPixels, add_color_bar, add_marks, add_own_bars, level_title
from aunet.classes import Labels
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.panels import legend_lines
from aunet.reporting.pictures.pixels import FilledSheet, save_image
from aunet.reporting.pictures.planes import LabelledScan, clearest_view
from aunet.reporting.pictures.sheet import Margins, panel_sheet, panel_size

_PANEL_INCHES, _DOTS_PER_INCH = 1.55, 150


@dataclass(frozen=True)
class Frame:
    """The coefficients of one epoch over a scan, levels in any order."""

    epoch: int
    levels: Sequence[LevelCoefficients]


def choose_epochs(epochs: Sequence[int], columns: int = 8) -> list[int]:
    """Return at most ``columns`` of ``epochs``: the first, the last, and between them more of the early ones.

    Attention settles early, so the steps grow geometrically, as in the paper's figure (epochs 3, 6, 10, 150).
    """
    assert columns >= 2, "a film shows the first and the last epoch"
    ordered = sorted(set(epochs))
    if len(ordered) <= columns:
        return ordered
    wanted = np.geomspace(1, len(ordered), columns)
    positions = np.maximum(np.round(wanted).astype(int) - 1, np.arange(columns))
    return [ordered[position] for position in positions]


def attention_film(
    scan: LabelledScan,
    frames: Sequence[Frame],
    labels: Labels,
    path: Path,
    *,
    title: str = "",
    is_relative: bool = False,
) -> None:
    """Write a PNG: epochs as columns, each gate of each gated level as a row, with the label's contours.

    It shows the image and at most eight of ``frames``, which must all have the same levels and gates. ``is_relative``
    as in ``picture.AttentionPicture``.
    """
    shown = choose_epochs([frame.epoch for frame in frames])
    columns = sorted((frame for frame in frames if frame.epoch in shown), key=lambda frame: frame.epoch)
    view = clearest_view(scan)
    titles = _row_titles(columns[0], is_relative=is_relative)
    margins = Margins(left=0.36 if "\n" in titles[0] else 0.22, right=0.4 if is_relative else 0.65)
    gap = (0.34 if is_relative else 0.04, 0.04)
    sheet = panel_sheet(len(titles), 1 + len(columns), panel_size(scan.extent, _PANEL_INCHES), margins, gap)
    sheet.add_row_titles(titles)
    sheet.add_column_titles(["image", *(f"epoch {frame.epoch}" for frame in columns)])
    add_marks(sheet, view)
    if is_relative:
        add_own_bars(sheet, view, [_maps(frame) for frame in columns])
    else:
        add_color_bar(sheet, COLOR_BAR_TITLE)
    sheet.add_title_and_legend(title, legend_lines(labels))
    filled = FilledSheet(sheet, _DOTS_PER_INCH)
    pixels = MapPixels(view, labels, filled.panel_size, _DOTS_PER_INCH, line_width=0.7, is_relative=is_relative)
    panels = {(row, 0): shown for row, shown in enumerate((pixels.image, pixels.labelled)[: len(titles)])}
    for column, frame in enumerate(columns, start=1):
        panels |= {(row, column): pixels.level(level, gate) for row, (level, gate) in enumerate(_maps(frame))}
    save_image(filled.fill(panels), path)


def _maps(frame: Frame) -> list[tuple[LevelCoefficients, int]]:
    """Return each map of a frame, a row of the sheet: fine levels first, the gates of a level in order."""
    levels = sorted(frame.levels, key=lambda level: level.level)
    return [(level, gate) for level in levels for gate in range(len(level.values))]


def _row_titles(frame: Frame, *, is_relative: bool) -> list[str]:
    """Return a title per map; the gates of a level are not averaged, as one may open where the other closes."""
    return [
        level_title(level, is_relative=is_relative) + (f"\ngate {gate + 1}" if len(level.values) > 1 else "")
        for level, gate in _maps(frame)
    ]
