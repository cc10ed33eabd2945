"""Attention coefficients laid over an image, each cell of their coarser grid over the voxels that it covers."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.inference.coefficients import LevelCoefficients
from aunet.reporting.pictures.panels import finish_panel, show_image
from aunet.reporting.pictures.pixels import Layer, Pixels, contour_drawing, image_pixels, resampled
from aunet.reporting.pictures.planes import AxialView, whole_window
from aunet.reporting.pictures.sheet import Sheet

# Only differences within a map have a meaning: a convolution and a norm follow each gate.
COLOR_BAR_TITLE = "coefficient within its map"

_COLORS = "inferno"
_OPACITY = 0.65
_CONTRAST = 0.6  # of the image below


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
    plane, scale = _shown_values(view, level, number, is_relative=is_relative)
    show_image(axes, view, contrast=_CONTRAST)
    axes.imshow(
        plane.T,
        extent=_edges(level, plane, view),
        origin="lower",
        cmap=_COLORS,
        norm=scale,
        alpha=_OPACITY,
        interpolation="bilinear",
    )
    if is_relative:
        _add_own_bar(axes, scale)


class MapPixels:
    """The panels of one view in pixels, for pictures that repeat it: the image, and maps over it as ``show_level``.

    Args:
        view: the plane, with its label.
        labels: the classes, whose contours lie over each panel.
        size: width and height of a panel in pixels.
        dots_per_inch: of the picture.
        line_width: of the contours over maps, in points.
        is_relative: as in ``show_level``.
    """

    def __init__(
        self,
        view: AxialView,
        labels: Labels,
        size: tuple[int, int],
        dots_per_inch: int,
        *,
        line_width: float,
        is_relative: bool = False,
    ) -> None:
        self._view, self._size, self._is_relative = view, size, is_relative
        self._contours = Layer(contour_drawing(view, labels, size, dots_per_inch, line_width))
        self._pale = image_pixels(view, size, _CONTRAST)
        self.image = image_pixels(view, size)
        """The image alone."""
        self.labelled = Layer(contour_drawing(view, labels, size, dots_per_inch)).over(self.image)
        """The image with the label's contours."""

    def level(self, level: LevelCoefficients, number: int) -> Pixels:
        """Return map ``number`` of ``level`` over the image, paler, below the label's contours."""
        plane, scale = _shown_values(self._view, level, number, is_relative=self._is_relative)
        left, right, bottom, top = _edges(level, plane, self._view)
        width, height = self._view.scan.extent
        cells, rows = plane.shape[0] / (right - left), plane.shape[1] / (top - bottom)
        across, down = ((width - left) * cells, -left * cells), ((height - bottom) * rows, -bottom * rows)
        values = resampled(plane, across, down, self._size)
        colors = matplotlib.colormaps[_COLORS](scale(values))[..., :3].astype(np.float32)
        return self._contours.over(_OPACITY * colors + (1 - _OPACITY) * self._pale)


def _shown_values(
    view: AxialView, level: LevelCoefficients, number: int, *, is_relative: bool
) -> tuple[NDArray[np.floating], Normalize]:
    """Return the cells (h, w) of a map in the plane of ``view``, and the scale of their colours."""
    plane = level.axial_plane(view.index)[number]
    if not is_relative:
        return plane, Normalize(0.0, 1.0, clip=True)
    plane = plane / max(float(level.values[number].mean()), np.finfo(np.float32).tiny)
    return plane, Normalize(0.0, max(float(plane.max()), 1.0), clip=True)


def add_marks(sheet: Sheet, view: AxialView) -> None:
    """Add orientation and scale bar to the first panel of ``sheet``, unless the view is that of a picture."""
    if not view.scan.is_plane:
        finish_panel(sheet.figure.add_axes(sheet.places[0][0]), whole_window(view.scan), has_marks=True)


def add_own_bars(sheet: Sheet, view: AxialView, columns: Sequence[Sequence[tuple[LevelCoefficients, int]]]) -> None:
    """Add the colour bar of each map with ``is_relative`` right of its panel; ``columns`` follow that of the image."""
    for column, maps in enumerate(columns, start=1):
        for row, (level, number) in enumerate(maps):
            axes = sheet.figure.add_axes(sheet.places[row][column])
            axes.set_axis_off()
            _add_own_bar(axes, _shown_values(view, level, number, is_relative=True)[1])


def _add_own_bar(axes: Axes, scale: Normalize) -> None:
    _draw_bar(axes.inset_axes((1.02, 0.1, 0.035, 0.8)), scale, "", num_intervals=3)


def add_color_bar(sheet: Sheet, title: str) -> None:
    """Add one colour bar from 0 to 1 for all panels of ``sheet``, in its right margin."""
    axes = sheet.add_axes_beside(0.08, 0.1, share=min(1.0, 2.0 / len(sheet.places)))
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
    colors = matplotlib.colormaps[_COLORS](np.linspace(0, 1, 256))
    return ListedColormap(_OPACITY * colors[:, :3] + (1 - _OPACITY) * 0.5)
