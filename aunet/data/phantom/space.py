"""The patient's own coordinates on the scan's voxels: placed, scaled and smoothly bent, so that no two patients agree.

Coordinates are in mm, RAS+ (x to the patient's right, y to the front, z to the head); the origin is the centre of the
vertebral body of L1 in a patient of middle size.
"""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Box = tuple[slice, slice, slice]

FIELD_OF_VIEW = (384.0, 320.0, 256.0)
FIELD_CORNER = (-192.0, -133.0, -118.0)
BEND = 3.0
"""Standard deviation (mm) of the bend per axis."""

_LATTICE_MARGIN = 8
_DEVIATION_OF_SPLINE = 0.332
"""Standard deviation of a cubic B-spline over independent unit coefficients in 3D: (151/315)^(3/2)."""


@dataclass(frozen=True)
class Space:
    """Voxel grid of a scan and where each voxel lies in the patient.

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
        """Voxels along each axis."""
        return self.points.shape[1:]

    def box(self, low: NDArray[np.float64], high: NDArray[np.float64], margin: float) -> Box:
        """Voxels that may hold patient coordinates between ``low`` and ``high`` (3,) or ``margin`` mm beyond."""
        margin += 4 * BEND
        first = (low - margin) * self.scale + self.shift - FIELD_CORNER
        last = (high + margin) * self.scale + self.shift - FIELD_CORNER
        return self._voxels_between(first, last)

    def box_of_ball(self, center: NDArray[np.float64], radius: float) -> Box:
        """Voxels within ``radius`` mm of a point (3,): a tighter ``box``, as it looks up the bend at the point."""
        place = center * self.scale + self.shift - FIELD_CORNER
        nearest = np.maximum(np.minimum(place // self.spacing, np.subtract(self.shape, 1)), 0)
        i, j, k = nearest.astype(int)
        straight = ((nearest + 0.5) * self.spacing + FIELD_CORNER - self.shift) / self.scale
        place = place - (self.points[:, i, j, k] - straight) * self.scale
        reach = (1.15 * radius + BEND) * self.scale
        return self._voxels_between(place - reach, place + reach)

    def points_in(self, box: Box) -> Array:
        """Patient coordinates (3, h, w, d) of the voxels of a box."""
        return self.points[(slice(None), *box)]

    def _voxels_between(self, first: NDArray[np.float64], last: NDArray[np.float64]) -> Box:
        """Voxels between two corners (3,), in mm from the corner of the field of view."""
        i, j, k = (
            slice(min(max(floor(start / step), 0), size), min(max(ceil(stop / step) + 1, 0), size))
            for start, stop, step, size in zip(first, last, self.spacing, self.shape, strict=True)
        )
        return i, j, k

    def voxels_of(self, volume_ml: float) -> int:
        """Number of voxels that fill a volume."""
        return round(volume_ml * 1000 / float(np.prod(self.spacing)))


def draw_space(generator: np.random.Generator, spacing: tuple[float, float, float]) -> Space:
    """Draw a patient's size, place and bend; the draw itself ignores the ``spacing`` (mm) of the voxels."""
    scale = float(np.clip(generator.normal(1.0, 0.045), 0.9, 1.1))
    shift = generator.normal(0.0, (5.0, 4.0, 7.0)).clip((-10, -8, -14), (10, 8, 14))
    return bent_space(generator, spacing, scale, shift)


def bent_space(
    generator: np.random.Generator, spacing: tuple[float, float, float], scale: float, shift: NDArray[np.float64]
) -> Space:
    """A patient of this ``scale`` at ``shift`` (3,) mm, with a bend that is drawn."""
    axes = voxel_positions(spacing)
    points = [
        ((axis - shift[i]) / scale).astype(np.float32).reshape(np.roll((-1, 1, 1), i))
        + BEND * smooth_noise(generator, axes, wavelength=70.0)
        for i, axis in enumerate(axes)
    ]
    roughness = smooth_noise(generator, axes, wavelength=9.0)
    return Space(spacing, scale, shift, np.stack(points), roughness)


def voxel_positions(spacing: tuple[float, float, float]) -> list[NDArray[np.float64]]:
    """World coordinate (mm) of the voxel centres along each axis; voxels fill the field of view."""
    counts = [max(1, round(extent / step)) for extent, step in zip(FIELD_OF_VIEW, spacing, strict=True)]
    axes = zip(FIELD_CORNER, spacing, counts, strict=True)
    return [corner + step * (np.arange(count, dtype=np.float64) + 0.5) for corner, step, count in axes]


def smooth_noise(generator: np.random.Generator, axes: list[NDArray[np.float64]], wavelength: float) -> Array:
    """Noise (H, W, D) of unit deviation, a cubic B-spline over random values every ``wavelength`` mm of the world."""
    counts = [int(extent / wavelength) + _LATTICE_MARGIN for extent in FIELD_OF_VIEW]
    noise = generator.standard_normal(counts, dtype=np.float32) / np.float32(_DEVIATION_OF_SPLINE)
    for i, axis in enumerate(axes):
        noise = _interpolate(noise, (axis - FIELD_CORNER[i]) / wavelength + 1, axis=i)
    return noise


def _interpolate(values: Array, positions: NDArray[np.float64], axis: int) -> Array:
    """Cubic B-spline with coefficients ``values`` at fractional ``positions`` along one axis.

    Summed term by term, not as a matrix product, whose rounding depends on the number of threads.
    """
    index = np.floor(positions).astype(int)
    t = positions - index
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    shape = np.roll((-1, 1, 1), axis)
    result = np.float32(0) * values.take(index, axis=axis)
    for offset, weight in enumerate(weights):
        term = values.take(index + offset, axis=axis)
        term *= (weight / 6).astype(np.float32).reshape(shape)
        result += term
    return result
