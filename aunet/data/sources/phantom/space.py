"""The patient's own coordinates on the scan's voxels: placed, scaled and smoothly bent, so that no two patients agree.

Coordinates are in mm, RAS+ (x to the patient's right, y to the front, z to the head); the origin is the centre of the
vertebral body of L1 in a patient of middle size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Box = tuple[slice, slice, slice]

FIELD_OF_VIEW = (384.0, 320.0, 256.0)
FIELD_CORNER = (-192.0, -133.0, -118.0)
BEND = 3.0
"""Standard deviation (mm) of the bend per axis."""

_SLAB = 4
"""Rows worked on at a time, so that temporary arrays stay in the processor's cache: half the time of whole volumes."""

_LATTICE_MARGIN = 8
_DEVIATION_OF_SPLINE = 0.332
"""Standard deviation of a cubic B-spline over independent unit coefficients in 3D: (151/315)^(3/2)."""


@dataclass(frozen=True)
class Space:
    """Voxel grid of a scan and the place of each voxel in the patient.

    ``points`` (3, H, W, D): mm in the patient's coordinates. ``roughness`` (H, W, D): smooth noise of unit deviation
    with bumps of about a centimetre, for the surfaces of organs.
    """

    spacing: tuple[float, float, float]
    scale: float
    shift: NDArray[np.float64]
    points: Array
    roughness: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of voxels along each axis."""
        return self.points.shape[1:]

    def box(self, low: NDArray[np.float64], high: NDArray[np.float64], margin: float) -> Box:
        """Return the voxels that may hold patient coordinates from ``low`` to ``high`` (3,) or ``margin`` mm beyond."""
        margin += 4 * BEND
        first = (low - margin) * self.scale + self.shift - FIELD_CORNER
        last = (high + margin) * self.scale + self.shift - FIELD_CORNER
        return self._voxels_between(first, last)

    def boxes_of_balls(self, centers: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the first voxel and the one after the last, (2, N, 3), within ``radii`` (N,) mm of ``centers`` (N, 3).

        They are tighter than ``box``, as the bend is looked up at each centre.
        """
        places = centers * self.scale + self.shift - FIELD_CORNER
        nearest = np.maximum(np.minimum(places // self.spacing, np.subtract(self.shape, 1)), 0)
        i, j, k = nearest.astype(int).T
        straight = ((nearest + 0.5) * self.spacing + FIELD_CORNER - self.shift) / self.scale
        places = places - (self.points[:, i, j, k].T - straight) * self.scale
        reach = (1.15 * radii[:, None] + BEND) * self.scale
        first, last = np.floor((places - reach) / self.spacing), np.ceil((places + reach) / self.spacing) + 1
        return np.stack([first, last]).clip(0, self.shape).astype(np.intp)

    def points_in(self, box: Box) -> Array:
        """Return the patient coordinates (3, h, w, d) of the voxels of a box."""
        return self.points[(slice(None), *box)]

    def part(self, rows: slice, columns: slice) -> "Space":
        """Return the space of some rows and columns, as a view."""
        return replace(self, points=self.points[:, rows, columns], roughness=self.roughness[rows, columns])

    def _voxels_between(self, first: NDArray[np.float64], last: NDArray[np.float64]) -> Box:
        """Return the voxels between two corners (3,), in mm from the corner of the field of view."""
        i, j, k = (
            slice(min(max(floor(start / step), 0), size), min(max(ceil(stop / step) + 1, 0), size))
            for start, stop, step, size in zip(first, last, self.spacing, self.shape, strict=True)
        )
        return i, j, k

    def voxels_of(self, volume_ml: float) -> int:
        """Return the number of voxels that fill a volume."""
        return round(volume_ml * 1000 / float(np.prod(self.spacing)))


def draw_space(generator: np.random.Generator, spacing: tuple[float, float, float]) -> Space:
    """Draw a patient's size, place and bend; the draw itself ignores the ``spacing`` (mm) of the voxels."""
    scale = float(np.clip(generator.normal(1.0, 0.045), 0.9, 1.1))
    shift = generator.normal(0.0, (5.0, 4.0, 7.0)).clip((-10, -8, -14), (10, 8, 14))
    return bent_space(generator, spacing, scale, shift)


def bent_space(
    generator: np.random.Generator, spacing: tuple[float, float, float], scale: float, shift: NDArray[np.float64]
) -> Space:
    """Return the space of a patient of this ``scale`` at ``shift`` (3,) mm, with a bend that is drawn."""
    axes = voxel_positions(spacing)
    points = np.empty((3, *map(len, axes)), dtype=np.float32)
    for i, axis in enumerate(axes):
        smooth_noise(generator, axes, wavelength=70.0, out=points[i])
        points[i] *= np.float32(BEND)
        points[i] += ((axis - shift[i]) / scale).astype(np.float32).reshape(np.roll((-1, 1, 1), i))
    return Space(spacing, scale, shift, points, smooth_noise(generator, axes, wavelength=9.0))


def voxel_positions(spacing: tuple[float, float, float]) -> list[NDArray[np.float64]]:
    """Return the world coordinates (mm) of the voxel centres along each axis; voxels fill the field of view."""
    counts = [max(1, round(extent / step)) for extent, step in zip(FIELD_OF_VIEW, spacing, strict=True)]
    axes = zip(FIELD_CORNER, spacing, counts, strict=True)
    return [corner + step * (np.arange(count, dtype=np.float64) + 0.5) for corner, step, count in axes]


def smooth_noise(
    generator: np.random.Generator, axes: list[NDArray[np.float64]], wavelength: float, out: Array | None = None
) -> Array:
    """Return noise (H, W, D) of unit deviation: a cubic B-spline over random values every ``wavelength`` mm.

    The values lie on a lattice of the world, so the noise is the same at every spacing. It fills ``out`` if given.
    """
    counts = [int(extent / wavelength) + _LATTICE_MARGIN for extent in FIELD_OF_VIEW]
    lattice = generator.standard_normal(counts, dtype=np.float32) / np.float32(_DEVIATION_OF_SPLINE)
    splines = [_spline(axis, corner, wavelength) for axis, corner in zip(axes, FIELD_CORNER, strict=True)]
    rows = _interpolate(lattice, splines[0])
    noise = np.empty([len(axis) for axis in axes], dtype=np.float32) if out is None else out
    for slab in row_slabs(len(rows)):
        columns = _interpolate(rows[slab].swapaxes(0, 1), splines[1])
        noise[slab] = _interpolate(columns.transpose(2, 1, 0), splines[2]).transpose(1, 2, 0)
    return noise


def box_of(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box that holds a mask (h, w, d); an empty one if nothing is set."""
    columns, planes = np.logical_or.reduce(mask, axis=2), np.logical_or.reduce(mask, axis=0)
    i, j = (range_of(np.logical_or.reduce(columns, axis=axis)) for axis in (1, 0))
    return i, j, range_of(np.logical_or.reduce(planes, axis=0))


def range_of(is_wanted: NDArray[np.bool_]) -> slice:
    """Return the smallest range that holds all that is wanted (N,); an empty one if nothing is."""
    wanted = np.flatnonzero(is_wanted)
    return slice(int(wanted[0]), int(wanted[-1]) + 1) if wanted.size else slice(0, 0)


def row_slabs(count: int) -> Iterator[slice]:
    """Yield slices of a few rows that cover ``count`` rows."""
    for start in range(0, count, _SLAB):
        yield slice(start, min(start + _SLAB, count))


_Spline = tuple[NDArray[np.intp], tuple[Array, ...]]
"""Index of the first of four coefficients for each position, and the weight of each of the four."""


def _spline(axis: NDArray[np.float64], corner: float, wavelength: float) -> _Spline:
    """Return coefficients and weights of a cubic B-spline at positions (N,) in mm."""
    positions = (axis - corner) / wavelength + 1
    index = np.floor(positions).astype(np.intp)
    t = positions - index
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return index, tuple((weight / 6).astype(np.float32)[:, None, None] for weight in weights)


def _interpolate(values: Array, spline: _Spline) -> Array:
    """Interpolate coefficients (n, a, b) along the first axis, where rows are contiguous: (N, a, b).

    The sum is taken term by term, as the rounding of a matrix product depends on the number of threads.
    """
    index, weights = spline
    values = np.ascontiguousarray(values)
    result = values.take(index, axis=0)
    result *= weights[0]
    term = np.empty_like(result)
    for offset in (1, 2, 3):
        values.take(index + offset, axis=0, out=term, mode="clip")
        term *= weights[offset]
        result += term
    return result
