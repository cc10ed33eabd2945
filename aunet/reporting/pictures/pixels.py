"""Pictures put together from pixels: a drawing that is made once, and below it planes resampled to its panels.

A panel of pixels takes a few milliseconds, and a tenth of the time that matplotlib takes to draw it.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from aunet.classes import Labels
from aunet.files import replaced_atomically
from aunet.reporting.pictures.figure_files import PNG_COMPRESSION
from aunet.reporting.pictures.panels import finish_panel, show_contours, shown_intensities
from aunet.reporting.pictures.planes import AxialView, whole_window
from aunet.reporting.pictures.sheet import Sheet

Pixels = NDArray[np.floating]
"""Colours (rows, columns, 3) from 0 to 1; the first row is the uppermost."""


class FilledSheet:
    """A sheet whose panels are filled with pixels, below its titles and marks.

    Args:
        sheet: with all that lies over its panels and between them.
        dots_per_inch: of the pictures.
    """

    def __init__(self, sheet: Sheet, dots_per_inch: int) -> None:
        self._drawing = rendered(sheet.figure, dots_per_inch)
        width, height = self._drawing.size
        self._corners = [
            [(round(left * width), round((1 - bottom - above) * height)) for left, bottom, _, above in row]
            for row in sheet.places
        ]
        self.panel_size = round(sheet.places[0][0][2] * width), round(sheet.places[0][0][3] * height)
        """Width and height of each panel in pixels."""

    def fill(self, panels: Mapping[tuple[int, int], Pixels], top: Image.Image | None = None) -> Image.Image:
        """Return the picture with pixels in its panels, by row and column, and ``top`` over its upper edge."""
        picture = Image.new("RGB", self._drawing.size, "white")
        for (row, column), pixels in panels.items():
            levels = np.rint(pixels * 255).astype(np.uint8)
            picture.paste(Image.fromarray(levels), self._corners[row][column])
        for drawing in (self._drawing, *([top] if top else [])):
            picture.paste(drawing, mask=drawing)
        return picture


def rendered(figure: Figure, dots_per_inch: int) -> Image.Image:
    """Return what matplotlib draws of ``figure``, on a transparent ground."""
    figure.set_dpi(dots_per_inch)
    figure.set_facecolor("none")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.array(canvas.buffer_rgba()))


class Layer:
    """A drawing that is laid over pixels of its size."""

    def __init__(self, drawing: Image.Image) -> None:
        pixels = np.asarray(drawing, dtype=np.float32) / 255
        self._visible = 1 - pixels[..., 3:]
        self._colors = pixels[..., :3] * pixels[..., 3:]

    def over(self, pixels: Pixels) -> Pixels:
        """Return ``pixels`` below this layer."""
        return pixels * self._visible + self._colors


def contour_drawing(
    view: AxialView, labels: Labels, size: tuple[int, int], dots_per_inch: int, width: float = 1.1
) -> Image.Image:
    """Return the contours of the view's label in a panel of ``size`` (width, height) pixels."""
    # A hundredth more, because matplotlib cuts fractions of a pixel off.
    figure = Figure(figsize=((size[0] + 0.01) / dots_per_inch, (size[1] + 0.01) / dots_per_inch))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    show_contours(axes, view, view.label, labels, width)
    finish_panel(axes, whole_window(view.scan))
    return rendered(figure, dots_per_inch)


def image_pixels(view: AxialView, size: tuple[int, int], contrast: float = 1.0) -> Pixels:
    """Return the grey image in a panel of ``size`` (width, height) pixels, ``contrast`` as in ``show_image``."""
    low, high = shown_intensities(view, contrast)
    height, width = view.image.shape
    grey = resampled(view.image, (height, 0), (width, 0), size)
    return np.repeat(np.clip((grey - low) / (high - low), 0, 1)[..., None], 3, axis=2)


def resampled(
    plane: NDArray[np.floating], across: tuple[float, float], down: tuple[float, float], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return ``plane`` (H, W) at the pixels (rows, columns) of a panel, interpolated linearly between cells.

    Beyond the outermost centres of cells the value of the outermost cell continues.

    Args:
        plane: its axis 0 goes across the panel, its axis 1 up or down.
        across: edges of the panel on the left and right, in cells of axis 0 from the plane's edge.
        down: edges at the top and bottom, in cells of axis 1.
        size: width and height of the panel in pixels.
    """
    columns, rows = _weights(*across, size[0], plane.shape[0]), _weights(*down, size[1], plane.shape[1])
    # Not as products of matrices: their threads take longer to meet than such small ones to compute.
    drawn: NDArray[np.float32] = np.einsum("rh,ch->rc", np.einsum("rw,hw->rh", rows, plane.astype(np.float32)), columns)
    return drawn


def _weights(start: float, end: float, num_pixels: int, num_cells: int) -> NDArray[np.float32]:
    """Return (pixels, cells): the share of each cell in each pixel; a pixel wider than a cell takes their mean."""
    step = (end - start) / num_pixels
    centres = np.clip(start + (np.arange(num_pixels) + 0.5) * step - 0.5, 0, num_cells - 1)
    distances = np.abs(centres[:, None] - np.arange(num_cells))
    weights = np.clip(1 - distances / max(1.0, abs(step)), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def save_image(image: Image.Image, path: Path) -> None:
    """Write ``image`` to ``path`` as PNG, atomically."""
    with replaced_atomically(path) as temporary:
        image.save(temporary, format="PNG", compress_level=PNG_COMPRESSION)
