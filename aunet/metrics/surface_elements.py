"""The surface of a mask as small elements, each with its area and its centroid in mm (marching cubes).

MONAI has a table of such areas (``monai.metrics.utils``, from DeepMind's surface-distance), against which the tests
compare ours. The patches are derived here for two reasons: importing MONAI takes longer than `aunet evaluate` should,
and an element at the centre of its cell lies up to a third of a voxel off in each axis, 1.7 mm between slices of 5 mm.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from aunet.metrics.overlap import Mask

FloatArray = NDArray[np.float64]
# Two neighbouring corners of a cell. A corner is numbered by its place: i + 2 j + 4 k for (i, j, k) in {0, 1}^3.
_Edge = tuple[int, int]


def surface_elements(mask: Mask, spacing: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Return the centroids (n, axes) in mm and the areas (n,) in mm^2 of the surface of ``mask``.

    Each cell between 2x2x2 neighbouring voxel centres that are not all inside or all outside has one element: the
    patch through the middles of the edges that the surface crosses (Lorensen and Cline 1987). Only cells within the
    array count, so a face on the array's edge, where the scan cuts an organ, is not a surface.

    Axes of length 1 are dropped: a picture (H, W, 1) has the elements of its contours, whose areas are lengths in mm,
    and a line of voxels has points of area 1.
    """
    kept = [axis for axis, length in enumerate(mask.shape) if length > 1]
    sides = tuple(float(spacing[axis]) for axis in kept)
    if not kept:
        return np.empty((0, 0)), np.empty(0)
    codes = _corner_codes(mask.squeeze())
    is_crossed = (codes != 0) & (codes != 2**2 ** len(kept) - 1)
    crossed = codes[is_crossed]
    centroids, areas = _element_table(sides)
    return np.argwhere(is_crossed) * np.array(sides) + centroids[crossed], areas[crossed]


def _corner_codes(mask: Mask) -> NDArray[np.uint8]:
    """Return a number per cell whose bit c is set if corner c is inside; each axis is one shorter than ``mask``'s."""
    codes = mask.view(np.uint8)
    for axis in range(mask.ndim):
        along = np.moveaxis(codes, axis, 0)
        codes = np.moveaxis(along[:-1] | along[1:] << 2**axis, 0, axis)
    return codes


@lru_cache(maxsize=64)
def _element_table(spacing: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    """Return the centroid (codes, axes) from corner 0 and the area (codes,) of the patch of each code, in mm."""
    codes, unit_simplices = _simplices(len(spacing))
    simplices = unit_simplices * np.array(spacing)
    sides = simplices[:, 1:] - simplices[:, :1]
    squared = np.linalg.det(sides @ sides.transpose(0, 2, 1))
    areas = np.sqrt(np.maximum(squared, 0)) / math.factorial(len(spacing) - 1)
    num_codes = 2**2 ** len(spacing)
    of_code = np.bincount(codes, areas, num_codes)
    moments = [np.bincount(codes, areas * centre, num_codes) for centre in simplices.mean(axis=1).T]
    return np.stack(moments, axis=1) / np.where(of_code > 0, of_code, 1)[:, None], of_code.astype(np.float64)


@cache
def _simplices(axes: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the patches in the unit cell as points, segments or triangles (n, axes, axes), and the code of each."""
    of_axes = {1: _points, 2: _segments, 3: _triangles}[axes]
    found = [(code, simplex) for code in range(2**2**axes) for simplex in of_axes(code)]
    return np.array([code for code, _ in found]), np.array([simplex for _, simplex in found])


def _points(code: int) -> list[FloatArray]:
    return [_middles([(0, 1)], 1)] if code in (1, 2) else []


def _segments(code: int) -> list[FloatArray]:
    return [_middles(segment, 2) for segment in _crossings(code, (0, 1, 3, 2))]


def _triangles(code: int) -> Iterator[FloatArray]:
    """Yield each closed loop of crossed edges as a fan about the mean of its vertices."""
    for loop in _loops(code):
        vertices = _middles(loop, 3)
        for start, stop in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
            yield np.stack([vertices.mean(axis=0), start, stop])


def _loops(code: int) -> Iterator[list[_Edge]]:
    """Yield the loops that the segments on the six faces of the cell form."""
    neighbours: dict[_Edge, list[_Edge]] = {}
    for face in _faces():
        for first, second in _crossings(code, face):
            neighbours.setdefault(first, []).append(second)
            neighbours.setdefault(second, []).append(first)
    while neighbours:
        loop = [next(iter(neighbours))]
        # Each crossed edge lies on two faces, so it has two neighbours.
        while following := [edge for edge in neighbours.pop(loop[-1]) if edge in neighbours]:
            loop.append(following[0])
        yield loop


def _faces() -> Iterator[tuple[int, ...]]:
    """Yield the corners of each face of the cube, in their order around it."""
    for first, second, normal in ((1, 2, 4), (2, 4, 1), (4, 1, 2)):
        for start in (0, normal):
            yield start, start + first, start + first + second, start + second


def _crossings(code: int, face: tuple[int, ...]) -> list[tuple[_Edge, _Edge]]:
    """Return the segments between crossed edges that cut each run of inside corners off a face.

    Two inside corners on a diagonal are cut off one by one. Both cells of the face decide alike, so surfaces close.
    """
    is_inside = [bool(code >> corner & 1) for corner in face]
    segments: list[tuple[_Edge, _Edge]] = []
    for start in range(4):
        if is_inside[start] and not is_inside[start - 1]:
            stop = next(place for place in range(start, start + 4) if not is_inside[(place + 1) % 4]) % 4
            segments.append((_edge(face[start - 1], face[start]), _edge(face[stop], face[(stop + 1) % 4])))
    return segments


def _edge(first: int, second: int) -> _Edge:
    return min(first, second), max(first, second)


def _middles(edges: Sequence[_Edge], axes: int) -> FloatArray:
    """Return the middle (n, axes) of each edge in the unit cell."""
    places = np.array(edges)[..., None] >> np.arange(axes) & 1
    return places.mean(axis=1)
