"""The plane of a scan that a picture shows, and positions in it in mm.

Arrays are in RAS order: axis 0 runs to the patient's right, axis 1 to the front, axis 2 to the head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Triple = tuple[float, float, float]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class LabelledScan:
    """A scan and its reference label, both (H, W, D) in RAS order, with the spacing in mm."""

    image: NDArray[np.floating]
    label: NDArray[np.integer]
    spacing: Triple

    def __post_init__(self) -> None:
        assert self.image.ndim == 3, f"one channel of three axes is shown, not {self.image.shape}"
        assert self.image.shape == self.label.shape, f"image {self.image.shape}, label {self.label.shape}"

    @property
    def is_plane(self) -> bool:
        """Return whether it is a single plane, such as a picture, whose sides and size in mm may be unknown."""
        return self.image.shape[2] == 1

    @property
    def extent(self) -> tuple[float, float]:
        """Return the size in mm of an axial plane: right-left, front-back."""
        height, width = self.image.shape[:2]
        return height * self.spacing[0], width * self.spacing[1]


@dataclass(frozen=True)
class Window:
    """A rectangle of an axial plane in mm: ``left`` to ``right`` along axis 0, ``bottom`` to ``top`` along axis 1."""

    left: float
    right: float
    bottom: float
    top: float


@dataclass(frozen=True)
class AxialView:
    """The axial plane ``index`` of ``scan``, and the intensities shown black and white."""

    scan: LabelledScan
    index: int
    intensities: tuple[float, float]

    @property
    def image(self) -> NDArray[np.floating]:
        """Return the plane's image (H, W)."""
        return self.scan.image[:, :, self.index]

    @property
    def label(self) -> NDArray[np.integer]:
        """Return the plane's label (H, W)."""
        return self.scan.label[:, :, self.index]

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Return the plane's edges in mm: from and to along axis 0, from and to along axis 1."""
        width, height = self.scan.extent
        return 0.0, width, 0.0, height


def clearest_view(scan: LabelledScan, intensities: tuple[float, float] | None = None) -> AxialView:
    """Return the axial plane that shows the organs best; ``intensities`` default to robust ends of the plane."""
    index = clearest_axial_index(scan.label)
    return AxialView(scan, index, intensities or intensity_range(scan.image[:, :, index]))


def in_ras_order(array: NDArray[Scalar], affine: NDArray[np.float64]) -> tuple[NDArray[Scalar], Triple]:
    """Return ``array`` (H, W, D) of a NIfTI ``affine`` (4, 4) in RAS order, and its spacing in mm.

    Axes are permuted and flipped, never resampled: an oblique scan is shown along its own axes.
    """
    # Loads the readers of all its formats and pydicom, which pictures of prepared scans do without.
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import apply_orientation, io_orientation

    turned = apply_orientation(array, io_orientation(affine))
    sizes = voxel_sizes(affine)
    order = np.argsort(io_orientation(affine)[:, 0])
    right, front, head = (float(sizes[axis]) for axis in order)
    return turned, (right, front, head)


def clearest_axial_index(label: NDArray[np.integer]) -> int:
    """Return the index along axis 2 of the plane of ``label`` (H, W, D) that shows the organs best.

    Each class votes with its area as a share of its own largest section, so that a large organ does not
    outvote a small one. Without foreground it is the middle plane.
    """
    areas = [(label == index).sum(axis=(0, 1)) for index in np.unique(label[label > 0])]
    if not areas:
        return label.shape[2] // 2
    return int(np.argmax(sum(area / area.max() for area in areas)))


def whole_window(scan: LabelledScan) -> Window:
    """Return the window that shows all of an axial plane."""
    width, height = scan.extent
    return Window(0.0, width, 0.0, height)


def window_around(mask: NDArray[np.bool_], scan: LabelledScan, margin: float = 15.0) -> Window:
    """Return the smallest window, proportioned as the plane, that holds ``mask`` (H, W) and ``margin`` mm around it."""
    if not mask.any():
        return whole_window(scan)
    sides = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    starts = [side[0] * step - margin for side, step in zip(sides, scan.spacing[:2], strict=True)]
    ends = [(side[-1] + 1) * step + margin for side, step in zip(sides, scan.spacing[:2], strict=True)]
    zoom = min(1.0, max((end - start) / size for start, end, size in zip(starts, ends, scan.extent, strict=True)))
    left, right = _side_within((starts[0] + ends[0]) / 2, zoom * scan.extent[0], scan.extent[0])
    bottom, top = _side_within((starts[1] + ends[1]) / 2, zoom * scan.extent[1], scan.extent[1])
    return Window(left, right, bottom, top)


def intensity_range(values: NDArray[np.floating], percentiles: Sequence[float] = (0.5, 99.5)) -> tuple[float, float]:
    """Return the intensities shown black and white: robust ends of ``values``, 1e-6 apart if all are equal."""
    low, high = (float(end) for end in np.percentile(values, percentiles))
    return low, max(high, low + 1e-6)


def _side_within(middle: float, length: float, limit: float) -> tuple[float, float]:
    start = float(np.clip(middle - length / 2, 0.0, limit - length))
    return start, start + length
