"""A picture of a case to look at: its scan and label, from below and from the front; one for each suspicious case."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from aunet.classes import Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.io.volume import read_channels
from aunet.data.preprocessing.intensity_scale import Window
from aunet.doctor.case_facts import counted_values, with_classes
from aunet.doctor.examination import Examination, class_of_integer, read_integers
from aunet.doctor.finding import NOT_HOUNSFIELD, Finding, Severity
from aunet.reporting.pictures.figure_files import save_png
from aunet.reporting.pictures.panels import finish_panel, legend_lines, show_contours, show_image, show_regions
from aunet.reporting.pictures.planes import AxialView, LabelledScan, clearest_view, in_ras_order, whole_window
from aunet.reporting.pictures.sheet import Margins, panel_sheet, panel_size
from aunet.terminal import shown

Affine = NDArray[np.float64]

NO_CLASS = 255
"""In the label map of a picture: a value that no class has."""

_COLOR_OF_NO_CLASS = to_rgb("#FF3B7F")
_PANEL_INCHES = 2.6
_LETTERS_PER_LINE = 100
_ENTRIES_PER_LINE = 5
# Height of a panel, as a share of its width, below which letters would overlap.
_FLAT = 0.25
_MOST_LINES = 4


def case_picture(
    image: tuple[NDArray[np.floating], Affine],
    label: tuple[NDArray[np.integer], Affine],
    labels: Labels,
    path: Path,
    *,
    title: str,
    remarks: Sequence[str],
    intensities: tuple[float, float] | None = None,
) -> None:
    """Write a PNG: an axial plane, the same with the label, and a coronal plane with the label.

    Args:
        image: voxels (H, W, D) and their affine to RAS+ mm.
        label: the same of the label map, which may have another grid: its affine places it.
        labels: classes of the label map's values, which may also be ``NO_CLASS``.
        path: the file.
        title: the top line; ``remarks`` follow below it.
        remarks: the findings, a sentence each.
        intensities: those shown black and white; robust ends by default.
    """
    array, spacing = in_ras_order(image[0], image[1])
    placed = apply_orientation(on_grid_of(image, label), io_orientation(image[1]))
    scan = LabelledScan(array, placed, spacing)
    view = clearest_view(scan, intensities)
    lines, entries = _lines(remarks), _entries(placed, labels)
    names = ("image", "label") if scan.is_plane else ("axial", "axial, label", "coronal, label")
    rows_of_entries = -(-len(entries) // _ENTRIES_PER_LINE)
    margins = Margins(top=0.5 + 0.14 * len(lines), bottom=0.2 + 0.16 * rows_of_entries)
    sheet = panel_sheet(1, len(names), panel_size(scan.extent, _PANEL_INCHES), margins)
    views = [view, view] if scan.is_plane else [view, view, _coronal(scan, view.intensities)]
    for axes, drawn, name in zip(sheet.panels[0], views, names, strict=True):
        show_image(axes, drawn)
        if name.endswith("label"):
            _show_label(axes, drawn, labels)
        axes.set_title(name, fontsize=8, pad=3)
        width, height = drawn.scan.extent
        letters = "RLSI" if name.startswith("coronal") else "RLAP"
        has_marks = not scan.is_plane and height > _FLAT * width
        finish_panel(axes, whole_window(drawn.scan), has_marks=has_marks, letters=letters)
    sheet.add_title_and_legend("\n".join([title, *lines]), entries, _ENTRIES_PER_LINE)
    save_png(sheet.figure, path, dots_per_inch=110)


def on_grid_of(
    image: tuple[NDArray[np.floating], Affine], label: tuple[NDArray[np.integer], Affine]
) -> NDArray[np.integer]:
    """Return the label's nearest value at each voxel of the image, placed by their affines; 0 beyond its edges."""
    if image[0].shape == label[0].shape and np.allclose(image[1], label[1], rtol=0, atol=1e-3):
        return label[0]
    to_label = np.linalg.inv(label[1]) @ image[1]
    placed: Any = ndimage.affine_transform(
        label[0], to_label, output_shape=image[0].shape, order=0, mode="grid-constant", cval=0
    )
    return placed


def _show_label(axes: Axes, view: AxialView, labels: Labels) -> None:
    regions = [(view.label == index, labels.color(index)) for index, _ in labels.foreground]
    show_regions(axes, view, [*regions, (view.label == NO_CLASS, _COLOR_OF_NO_CLASS)], 0.3)
    show_contours(axes, view, view.label, labels)


def _entries(label: NDArray[np.integer], labels: Labels) -> list[Artist]:
    """Return the legend's entries: the classes in ``label``, and ``NO_CLASS`` if it is there."""
    lines = zip(labels.foreground, legend_lines(labels), strict=True)
    present: list[Artist] = [line for (index, _), line in lines if (label == index).any()]
    no_class = [Patch(color=_COLOR_OF_NO_CLASS, label="value without a class")] if (label == NO_CLASS).any() else []
    return [*present, *no_class]


def _coronal(scan: LabelledScan, intensities: tuple[float, float]) -> AxialView:
    """Return the coronal plane that shows the organs best, with superior in place of anterior."""
    right, front, head = scan.spacing
    turned = LabelledScan(scan.image.swapaxes(1, 2), scan.label.swapaxes(1, 2), (right, head, front))
    return clearest_view(turned, intensities)


def _lines(remarks: Sequence[str]) -> list[str]:
    lines = [line for remark in remarks for line in wrap(remark, _LETTERS_PER_LINE)]
    return lines[:_MOST_LINES] + (["…"] if len(lines) > _MOST_LINES else [])


def draw_suspicious(cohort: Cohort, examination: Examination, window: Window | None, folder: Path) -> list[Path]:
    """Write ``folder``/<case_id>.png for each readable case with an error or warning; return the paths.

    A CT in HU is shown in ``window``; without one, between robust ends, as any other image.
    """
    readable = {facts.case_id for facts in examination.facts}
    told = [found for found in examination.findings if found.kind.severity is not Severity.NOTE]
    ids = {found.case_id for found in told} & readable
    cases = [case for case in cohort.cases if case.case_id in ids]
    paths: list[Path] = []
    for case in shown(cases, "Drawing suspicious cases", len(cases)):
        findings = [found for found in told if found.case_id == case.case_id]
        paths.append(_draw(case, cohort, findings, window, folder / f"{case.case_id}.png"))
    return paths


def _draw(case: Case, cohort: Cohort, findings: Sequence[Finding], window: Window | None, path: Path) -> Path:
    image, label = read_channels(case.images[0])[0], read_integers(case, cohort)
    values = counted_values(label.array)
    class_of_value = class_of_integer(case, cohort)
    if not cohort.is_other_background:
        class_of_value = {value: class_of_value.get(value, NO_CLASS) for value in values}
    classes = with_classes(label, class_of_value, values)
    low, high = np.percentile(image.array[::2, ::2, ::2], (0.5, 99.5)).tolist()
    is_ct = cohort.channel_modalities[0] == "ct"
    is_in_window = is_ct and window is not None and low < window[1] and high > window[0]
    is_hounsfield = is_in_window and all(found.kind is not NOT_HOUNSFIELD for found in findings)
    case_picture(
        (image.array, image.affine),
        (classes.array, classes.affine),
        cohort.labels,
        path,
        title=f"{case.case_id}: {', '.join(dict.fromkeys(found.kind.name for found in findings))}",
        remarks=[found.message for found in findings],
        intensities=window if is_hounsfield else None,
    )
    return path
