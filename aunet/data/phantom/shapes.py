"""Smooth shapes as fields: about the depth below the surface in mm, positive inside, on a box of voxels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator, make_interp_spline

from aunet.data.phantom.space import Array, Box, Space

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
    """Ellipsoid of three radii (mm), turned by ``tilt`` degrees about x, then y, then z."""
    center, radii = np.asarray(center, dtype=float), np.asarray(radii, dtype=float)
    rotation = _rotation(tilt)
    reach = np.sqrt(((rotation * radii) ** 2).sum(axis=1))
    box = space.box(center - reach, center + reach, MARGIN)
    offset = space.points_in(box) - center.astype(np.float32)[:, None, None, None]
    unit = (rotation / radii).astype(np.float32)
    squares = (sum(unit[i, j] * offset[i] for i in range(3)) ** 2 for j in range(3))
    size = np.float32(radii.min())
    return Field(box, size * (1 - np.sqrt(sum(squares, start=np.zeros(offset.shape[1:], dtype=np.float32)))))


def tube(space: Space, centers: Vectors, radii: Vectors, margin: float = THIN_MARGIN) -> Field:
    """Union of balls (N, 3), (N,) along a curve; the field is known as far as ``margin`` mm outside."""
    low, high = (centers - radii[:, None]).min(axis=0), (centers + radii[:, None]).max(axis=0)
    box = space.box(low, high, MARGIN)
    values = np.full([part.stop - part.start for part in box], FAR_OUTSIDE, dtype=np.float32)
    for center, radius in zip(centers, radii, strict=True):
        ball = _overlap(space.box_of_ball(center, radius + margin), box)
        x, y, z = space.points_in(ball)
        squares = np.square(x - np.float32(center[0]))
        squares += np.square(y - np.float32(center[1]))
        squares += np.square(z - np.float32(center[2]))
        depth = np.float32(radius) - np.sqrt(squares)
        part = values[tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(ball, box, strict=True))]
        np.maximum(part, depth, out=part)
    return Field(box, values)


def curve(knots: ArrayLike, radii: Sequence[float], step: float = 0.36) -> tuple[Vectors, Vectors]:
    """Points (N, 3) of a smooth curve through ``knots`` (K, 3), with radii (N,); ``step`` times the radius apart."""
    knots = np.asarray(knots, dtype=float)
    lengths = np.r_[0, np.linalg.norm(np.diff(knots, axis=0), axis=1).cumsum()]
    count = max(2, int(lengths[-1] / (step * float(np.mean(radii)))) + 1)
    places = np.linspace(0, lengths[-1], count)
    centers = make_interp_spline(lengths, knots, k=min(3, len(knots) - 1))(places)
    return centers, PchipInterpolator(lengths, radii)(places)


def roughened(space: Space, field: Field, amplitude: float) -> Field:
    """The shape with bumps of ``amplitude`` mm on its surface."""
    bumps = np.float32(amplitude) * space.roughness[field.box]
    return Field(field.box, (field.values + bumps).astype(np.float32))


def without(field: Field, removed: Field) -> Field:
    """The part of a shape that lies outside another."""
    values = field.values.copy()
    common = _overlap(field.box, removed.box)
    kept = tuple(slice(c.start - b.start, c.stop - b.start) for c, b in zip(common, field.box, strict=True))
    cut = tuple(slice(c.start - b.start, c.stop - b.start) for c, b in zip(common, removed.box, strict=True))
    np.minimum(values[kept], -removed.values[cut], out=values[kept])
    return Field(field.box, values)


def smooth_union(first: Field, second: Field, blend: float) -> Field:
    """Both shapes, joined by a fillet of about ``blend`` mm (polynomial smooth maximum)."""
    box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first.box, second.box, strict=True))
    a, b = (_extended(field, (box[0], box[1], box[2])) for field in (first, second))
    overlap = np.clip(blend - np.abs(a - b), 0, None) / blend
    return Field((box[0], box[1], box[2]), np.maximum(a, b) + np.square(overlap) * np.float32(blend / 4))


def smooth_difference(field: Field, removed: Field, blend: float) -> Field:
    """The part of a shape outside another, its new edges rounded by about ``blend`` mm."""
    inverse = smooth_union(Field(field.box, -field.values), removed, blend)
    inside = tuple(slice(f.start - b.start, f.stop - b.start) for f, b in zip(field.box, inverse.box, strict=True))
    return Field(field.box, -inverse.values[inside])


def _overlap(first: Box, second: Box) -> Box:
    """Voxels of both boxes."""
    starts = [max(a.start, b.start) for a, b in zip(first, second, strict=True)]
    stops = [min(a.stop, b.stop) for a, b in zip(first, second, strict=True)]
    i, j, k = (slice(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True))
    return i, j, k


def _extended(field: Field, box: Box) -> Array:
    """Values of a field on a larger box."""
    values = np.full([part.stop - part.start for part in box], FAR_OUTSIDE, dtype=np.float32)
    values[tuple(slice(f.start - b.start, f.stop - b.start) for f, b in zip(field.box, box, strict=True))] = (
        field.values
    )
    return values


def _rotation(degrees: tuple[float, float, float]) -> Vectors:
    """Matrix (3, 3) whose columns are the turned axes."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
