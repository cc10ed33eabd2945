"""The patch of a surface in a cell between neighbouring voxels, for each set of corners that lie inside.

A corner is numbered by its place in the cell: i + 2 j + 4 k for (i, j, k) in {0, 1}^3. Bit c of a code says whether
corner c is inside.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
# Two neighbouring corners of a cell, the lower number first.
_Edge = tuple[int, int]
ALL_INSIDE = 255


@cache
def unit_triangles(code: int) -> tuple[FloatArray, FloatArray]:
    """Return the patch of a code, cut into triangles of the unit cell.

    Returns:
        Their corners (n, 3, 3) if the surface crosses every edge in its middle, and how much each corner moves along
        axis 0 if the crossing of one of the four edges along it does: weights (n, 3, 4), the edge from corner 2 e to
        corner 2 e + 1 being the e-th.
    """
    triangles = [triangle for loop in _loops(code) for triangle in _fan(_vertices(loop))]
    vertices = np.array(triangles).reshape(-1, 3, 7)
    return vertices[..., :3], vertices[..., 3:]


def _fan(vertices: FloatArray) -> Iterator[FloatArray]:
    """Yield the triangles of a closed loop about the mean of its vertices, which treats all directions alike."""
    if len(vertices) == 3:
        yield vertices
        return
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

    Two inside corners on a diagonal are cut off one by one. Both cells of a face decide so, hence surfaces close.
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


def _vertices(edges: Sequence[_Edge]) -> FloatArray:
    """Return the middle of each edge in the unit cell, followed by its weights: (n, 7)."""
    numbers = np.array(edges)
    middles = (numbers[..., None] >> np.arange(3) & 1).mean(axis=1)
    is_along_first = numbers[:, 1:] - numbers[:, :1] == 1
    return np.hstack([middles, is_along_first & (numbers[:, :1] >> 1 == np.arange(4))])
