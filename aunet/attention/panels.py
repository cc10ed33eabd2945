"""Attention coefficients laid over an image, each cell of their coarser grid over the voxels that it covers."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.panels import show_image
from aunet.reporting.pictures.planes import AxialView
from aunet.reporting.pictures.sheet import Sheet

# Only differences within a map have a meaning: a convolution and a norm follow each gate.
COLOR_BAR_TITLE = "coefficient within its map"

_OPACITY = 0.65


def level_title(level: LevelCoefficients, *, is_relative: bool = False) -> str:
    """Return the level, a cell's width in voxels, and the unit if it is not the plain coefficient."""
    sizes = " × ".join(f"{size:g}" for size in dict.fromkeys(level.cell_size))
    return f"level {level.level} (1/{sizes})" + (", × mean" if is_relative else "")


def show_level(
    axes: Axes, view: AxialView, level: LevelCoefficients, number: int, *, is_relative: bool = False
) -> None:
    """Draw the image, paler, and over it map ``number`` of ``level`` on the scale 0 to 1.

    With ``is_relative``, for a softmax over space, draw multiples of the map's mean, with a colour bar of its own.
    """
    plane = level.axial_plane(view.index)[number]
    show_image(axes, view, contrast=0.6)
    if is_relative:
        plane = plane / max(float(level.values[number].mean()), np.finfo(np.float32).tiny)
    scale = Normalize(0.0, max(float(plane.max()), 1.0)) if is_relative else Normalize(0.0, 1.0)
    axes.imshow(
        plane.T,
        extent=_edges(level, plane, view),
        origin="lower",
        cmap="inferno",
        norm=scale,
        alpha=_OPACITY,
        interpolation="bilinear",
    )
    if is_relative:
        _draw_bar(axes.inset_axes((1.02, 0.1, 0.035, 0.8)), scale, "", num_intervals=3)


def add_color_bar(sheet: Sheet, title: str) -> None:
    """Add one colour bar from 0 to 1 for all panels of ``sheet``, in its right margin."""
    axes = sheet.add_axes_beside(0.08, 0.1, share=min(1.0, 2.0 / len(sheet.panels)))
    _draw_bar(axes, Normalize(0.0, 1.0), title)


def _edges(level: LevelCoefficients, plane: NDArray[np.floating], view: AxialView) -> tuple[float, float, float, float]:
    """Return the edges of the grid in mm, which may lie beyond those of the scan."""
    left, bottom = (level.offset[axis] * view.scan.spacing[axis] for axis in (0, 1))
    width, height = (plane.shape[axis] * level.cell_size[axis] * view.scan.spacing[axis] for axis in (0, 1))
    return left, left + width, bottom, bottom + height


def _draw_bar(axes: Axes, scale: Normalize, title: str, num_intervals: int = 5) -> None:
    bar = Colorbar(axes, ScalarMappable(scale, _blended_colors()))
    bar.set_label(title, fontsize=8)
    bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=num_intervals))
    bar.ax.tick_params(labelsize=7, length=2)


def _blended_colors() -> ListedColormap:
    """Return the colours blended with a middle grey, so that the bar matches the picture."""
    colors = matplotlib.colormaps["inferno"](np.linspace(0, 1, 256))
    return ListedColormap(_OPACITY * colors[:, :3] + (1 - _OPACITY) * 0.5)
