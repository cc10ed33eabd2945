"""Smooth shapes as fields: about the depth below the surface in mm, positive inside, on a box of voxels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aunet.data.sources.phantom.space import Array, Box, Space, row_slabs

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

Vectors = NDArray[np.float64]

MARGIN = 8.0
"""How far (mm) outside its nominal surface the field of an organ is known, so that it may grow."""

THIN_MARGIN = 1.5
"""The same for vessels and gut, which stay as they are."""

FAR_OUTSIDE = np.float32(-1e3)


@dataclass(frozen=True)
class Field:
    """Depth (h, w, d) in mm on the voxels of ``box``; elsewhere far outside."""

    box: Box
    values: Array


def ellipsoid(space: Space, center: ArrayLike, radii: ArrayLike, tilt: tuple[float, float, float] = (0, 0, 0)) -> Field:
    """Return the field of an ellipsoid of three radii (mm), turned by ``tilt`` degrees about x, then y, then z."""
    center, radii = np.asarray(center, dtype=float), np.asarray(radii, dtype=float)
    rotation = _rotation(tilt)
    reach = np.sqrt(((rotation * radii) ** 2).sum(axis=1))
    box = space.box(center - reach, center + reach, MARGIN)
    unit, size = (rotation / radii).astype(np.float32), np.float32(radii.min())
    points, values = space.points_in(box), np.empty(_shape(box), dtype=np.float32)
    for rows in row_slabs(len(values)):
        offset = points[:, rows] - center.astype(np.float32)[:, None, None, None]
        values[rows] = size * (1 - np.sqrt(_squared_length(offset, unit)))
    return Field(box, values)


def _squared_length(offset: Array, unit: Array) -> Array:
    """Return the squared length (h, w, d) of vectors (3, h, w, d) in the basis of the columns of ``unit`` (3, 3)."""
    total = np.zeros(offset.shape[1:], dtype=np.float32)
    for column in unit.T:
        used = np.flatnonzero(column)
        part = column[used[0]] * offset[used[0]]
        for i in used[1:]:
            part += column[i] * offset[i]
        total += np.square(part, out=part)
    return total


def tube(space: Space, centers: Vectors, radii: Vectors, margin: float = THIN_MARGIN) -> Field:
    """Return the union of balls (N, 3), (N,) along a curve; the field is known as far as ``margin`` mm outside."""
    low, high = (centers - radii[:, None]).min(axis=0), (centers + radii[:, None]).max(axis=0)
    box = space.box(low, high, MARGIN)
    first, last = space.boxes_of_balls(centers, radii + margin)
    first = np.maximum(first, [part.start for part in box])
    last = np.minimum(last, [part.stop for part in box])
    is_seen = (first < last).all(axis=1)
    first, last = first[is_seen], last[is_seen]
    if margin == THIN_MARGIN:  # a shape that does not grow needs no voxels beyond its balls
        box = _hull(first, last)
    values = np.full(_shape(box), FAR_OUTSIDE, dtype=np.float32)
    corner = [part.start for part in box]
    balls = zip(
        centers[is_seen, :, None, None, None].astype(np.float32), radii[is_seen].astype(np.float32), strict=True
    )
    boxes = zip(_slices(first, last), _slices(first - corner, last - corner), strict=True)
    for (center, radius), ((i, j, k), inside) in zip(balls, boxes, strict=True):
        offset = space.points[:, i, j, k].copy()
        offset -= center
        np.square(offset, out=offset)
        squares = offset[0]
        squares += offset[1]
        squares += offset[2]
        np.subtract(radius, np.sqrt(squares, out=squares), out=squares)
        part = values[inside]
        np.maximum(part, squares, out=part)
    return Field(box, values)


def _slices(first: NDArray[np.intp], last: NDArray[np.intp]) -> list[Box]:
    """Return the boxes from ``first`` (N, 3) to ``last`` (N, 3)."""
    bounds = zip(first.tolist(), last.tolist(), strict=True)
    return [(slice(i, i_end), slice(j, j_end), slice(k, k_end)) for (i, j, k), (i_end, j_end, k_end) in bounds]


def curve(knots: ArrayLike, radii: Sequence[float], step: float = 0.36) -> tuple[Vectors, Vectors]:
    """Return points (N, 3) of a smooth curve through ``knots`` (K, 3), with radii (N,), ``step`` radii apart."""
    from scipy.interpolate import make_interp_spline  # takes a quarter of a second; drawn phantoms need none of it

    knots = np.asarray(knots, dtype=float)
    lengths = np.r_[0, np.linalg.norm(np.diff(knots, axis=0), axis=1).cumsum()]
    count = max(2, int(lengths[-1] / (step * float(np.mean(radii)))) + 1)
    places = np.linspace(0, lengths[-1], count)
    centers = make_interp_spline(lengths, knots, k=min(3, len(knots) - 1))(places)
    return centers, monotone_spline(lengths, np.asarray(radii, dtype=float))(places)


def monotone_spline(x: Vectors, y: Vectors) -> "PPoly":
    """Return the cubic through y (K,) at x (K,) that never overshoots, of Fritsch and Butland (1984).

    It equals scipy's PchipInterpolator, which takes ten times as long for a few knots: 5 % of a phantom.
    """
    from scipy.interpolate import PPoly

    step, slope = np.diff(x), np.diff(y) / np.diff(x)
    tangent = np.full(len(x), slope[0])
    if len(x) > 2:
        first, second = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (first / slope[:-1] + second / slope[1:]) / (first + second)
            tangent[1:-1] = np.where(slope[:-1] * slope[1:] > 0, 1 / mean, 0)
        tangent[0] = _end_tangent(step[0], step[1], slope[0], slope[1])
        tangent[-1] = _end_tangent(step[-1], step[-2], slope[-1], slope[-2])
    excess = (tangent[:-1] + tangent[1:] - 2 * slope) / step
    return PPoly(np.stack([excess / step, (slope - tangent[:-1]) / step - excess, tangent[:-1], y[:-1]]), x)


def _end_tangent(step: float, next_step: float, slope: float, next_slope: float) -> float:
    """Return the tangent at an end by a formula of three points, limited so that the curve stays monotone."""
    tangent = ((2 * step + next_step) * slope - step * next_slope) / (step + next_step)
    if np.sign(tangent) != np.sign(slope):
        return 0.0
    if np.sign(slope) != np.sign(next_slope) and abs(tangent) > 3 * abs(slope):
        return 3 * slope
    return tangent


def roughened(space: Space, field: Field, amplitude: float) -> Field:
    """Return the shape with bumps of ``amplitude`` mm on its surface."""
    bumps = np.float32(amplitude) * space.roughness[field.box]
    return Field(field.box, (field.values + bumps).astype(np.float32))


def without(field: Field, removed: Field) -> Field:
    """Return the part of a shape that lies outside another."""
    values = field.values.copy()
    common = _overlap(field.box, removed.box)
    kept = tuple(slice(c.start - b.start, c.stop - b.start) for c, b in zip(common, field.box, strict=True))
    cut = tuple(slice(c.start - b.start, c.stop - b.start) for c, b in zip(common, removed.box, strict=True))
    np.minimum(values[kept], -removed.values[cut], out=values[kept])
    return Field(field.box, values)


def smooth_union(first: Field, second: Field, blend: float) -> Field:
    """Return both shapes, joined by a fillet of about ``blend`` mm (polynomial smooth maximum)."""
    i, j, k = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first.box, second.box, strict=True))
    box = i, j, k
    a, b = (_extended(field, box) for field in (first, second))
    for rows in row_slabs(len(a)):
        overlap = np.clip(blend - np.abs(a[rows] - b[rows]), 0, None) / blend
        a[rows] = np.maximum(a[rows], b[rows]) + np.square(overlap) * np.float32(blend / 4)
    return Field(box, a)


def smooth_difference(field: Field, removed: Field, blend: float) -> Field:
    """Return the part of a shape outside another, its new edges rounded by about ``blend`` mm."""
    inverse = smooth_union(Field(field.box, -field.values), removed, blend)
    inside = tuple(slice(f.start - b.start, f.stop - b.start) for f, b in zip(field.box, inverse.box, strict=True))
    return Field(field.box, -inverse.values[inside])


def _shape(box: Box) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in box)


def _hull(first: NDArray[np.intp], last: NDArray[np.intp]) -> Box:
    """Return the smallest box around boxes from ``first`` (N, 3) to ``last`` (N, 3); an empty one if N is 0."""
    if not len(first):
        return slice(0, 0), slice(0, 0), slice(0, 0)
    i, j, k = (slice(int(start), int(stop)) for start, stop in zip(first.min(axis=0), last.max(axis=0), strict=True))
    return i, j, k


def _overlap(first: Box, second: Box) -> Box:
    """Return the box of the voxels that lie in both boxes."""
    starts = [max(a.start, b.start) for a, b in zip(first, second, strict=True)]
    stops = [min(a.stop, b.stop) for a, b in zip(first, second, strict=True)]
    i, j, k = (slice(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True))
    return i, j, k


def _extended(field: Field, box: Box) -> Array:
    """Return the values of a field on a larger box."""
    values = np.full([part.stop - part.start for part in box], FAR_OUTSIDE, dtype=np.float32)
    values[tuple(slice(f.start - b.start, f.stop - b.start) for f, b in zip(field.box, box, strict=True))] = (
        field.values
    )
    return values


def _rotation(degrees: tuple[float, float, float]) -> Vectors:
    """Return the matrix (3, 3) whose columns are the turned axes."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
