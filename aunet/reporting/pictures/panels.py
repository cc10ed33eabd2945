"""The parts of one panel: an axial plane of a scan and its marks, in the radiologist's view.

Axes are in mm. The patient's right is on the left of the picture, the front is on top.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.reporting.pictures.planes import AxialView, Window

Color = tuple[float, float, float]

_LETTER_PLACES = (0.035, 0.5), (0.965, 0.5), (0.5, 0.96), (0.5, 0.04)
_BAR_LENGTHS = (1, 2, 5, 10, 20, 50, 100)


def show_image(axes: Axes, view: AxialView, contrast: float = 1.0) -> None:
    """Draw the grey image; a ``contrast`` below 1 keeps it near middle grey."""
    low, high = shown_intensities(view, contrast)
    axes.imshow(
        view.image.T,
        extent=view.edges,
        origin="lower",
        cmap="gray",
        vmin=low,
        vmax=high,
        interpolation="bilinear",
    )


def shown_intensities(view: AxialView, contrast: float) -> tuple[float, float]:
    """Return the intensities that are black and white at a ``contrast`` as in ``show_image``."""
    low, high = view.intensities
    spare = (high - low) * (1 / contrast - 1) / 2
    return low - spare, high + spare


def show_contours(axes: Axes, view: AxialView, plane: NDArray[np.integer], labels: Labels, width: float = 1.1) -> None:
    """Outline each foreground class of ``plane`` (H, W) in its colour, with a dark rim visible on any background."""
    across, along = (
        (np.arange(-1, size + 1) + 0.5) * step for size, step in zip(plane.shape, view.scan.spacing[:2], strict=True)
    )
    for index, _ in labels.foreground:
        mask = np.pad(plane == index, 1).astype(np.float32)
        if mask.any():
            lines = axes.contour(across, along, mask.T, levels=[0.5], colors=[labels.color(index)], linewidths=width)
            lines.set_path_effects([_rim(width + 1.0), Normal()])


def show_regions(
    axes: Axes, view: AxialView, regions: Sequence[tuple[NDArray[np.bool_], Color]], opacity: float
) -> None:
    """Fill each region, a mask (H, W) with its colour, and leave the rest of the image visible."""
    colors = np.zeros((*view.image.shape, 4))
    for mask, color in regions:
        colors[mask] = (*color, opacity)
    axes.imshow(colors.swapaxes(0, 1), extent=view.edges, origin="lower", interpolation="nearest")


def show_window(axes: Axes, window: Window) -> None:
    """Mark ``window`` with a thin white frame."""
    corner = (window.left, window.bottom)
    size = (window.right - window.left, window.top - window.bottom)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=0.8))


def finish_panel(axes: Axes, window: Window, *, has_marks: bool = False, letters: str = "RLAP") -> None:
    """Show ``window`` with the patient's right on the left; ``has_marks`` adds a scale bar and ``letters``.

    The letters mark the left, right, upper and lower edge.
    """
    axes.set_xlim(window.right, window.left)
    axes.set_ylim(window.bottom, window.top)
    axes.set_axis_off()
    if has_marks:
        _mark_orientation(axes, letters)
        _draw_scale_bar(axes, window)


def legend_lines(labels: Labels) -> list[Line2D]:
    """Return a line in the colour of each foreground class, for a legend."""
    return [Line2D([], [], color=labels.color(index), linewidth=2, label=name) for index, name in labels.foreground]


def _mark_orientation(axes: Axes, letters: str) -> None:
    for letter, (across, up) in zip(letters, _LETTER_PLACES, strict=True):
        mark = axes.text(  # bold, as at some sizes the foot of a thin L falls between two rows of pixels
            across,
            up,
            letter,
            transform=axes.transAxes,
            color="white",
            fontsize=7,
            fontweight="bold",
            ha="center",
            va="center",
        )
        mark.set_path_effects([_rim(1.5), Normal()])


def _draw_scale_bar(axes: Axes, window: Window) -> None:
    width, height = window.right - window.left, window.top - window.bottom
    length = max(step for step in _BAR_LENGTHS if step <= max(width / 3.5, _BAR_LENGTHS[0]))
    start, level = window.right - 0.04 * width, window.bottom + 0.045 * height
    (bar,) = axes.plot([start, start - length], [level, level], color="white", linewidth=1.8, solid_capstyle="butt")
    bar.set_path_effects([_rim(3.2), Normal()])
    middle = (start - length / 2, level)
    text = axes.annotate(
        f"{length} mm", middle, (0, 3), textcoords="offset points", color="white", fontsize=6, ha="center"
    )
    text.set_path_effects([_rim(1.5), Normal()])


def _rim(width: float) -> Stroke:
    return Stroke(linewidth=width, foreground="black", alpha=0.6)
