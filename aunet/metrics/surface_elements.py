"""The surface of a mask as small elements, each with its area and its centroid in mm.

MONAI has a table of such areas (``monai.metrics.utils``, from DeepMind's surface-distance), against which the tests
compare ours. We do not use it for two reasons. Importing MONAI takes 3 s, most of the time in which `aunet evaluate`
should start. Its elements lie at the centres of their cells: concentric spheres 2 mm apart come out as 1.6 mm with
voxels of 1 mm, and as 1.2 mm with voxels of 0.7x0.7x5 mm.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aunet.metrics.overlap import Mask
from aunet.metrics.surface_patches import ALL_INSIDE, unit_triangles

FloatArray = NDArray[np.float64]

# Smallest ratio of the two largest voxel sides at which slices count as thick. At 0.7x0.7x2 mm (2.9) the stairs between
# slices make distances 5 % too small; below 2 the steps within slices are as large.
_THICK_SLICES = 2.0


def surface_elements(mask: Mask, spacing: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Return the centroids (n, axes) in mm and the areas (n,) in mm^2 of the surface of ``mask``.

    Each cell between 2x2x2 neighbouring voxel centres that are not all inside or all outside has one element: the
    patch through the points where the surface crosses the edges of the cell (Lorensen and Cline 1987). These are the
    middles of the edges, except across thick slices: see ``_crossing_shares``. Only cells within the array count, so a
    face on the array's edge, where the scan cuts an organ, is not a surface.

    Axes of length 1 are dropped: a picture (H, W, 1) has the elements of its contours, whose areas are lengths in mm,
    and a line of voxels has points of area 1.
    """
    kept = [axis for axis, length in enumerate(mask.shape) if length > 1]
    if not kept:
        return np.empty((0, 0)), np.empty(0)
    # The axis of the thickest slices comes first; the points return in the given order.
    order = np.argsort([-spacing[axis] for axis in kept], kind="stable")
    sides = [float(spacing[kept[axis]]) for axis in order]
    ordered = mask.squeeze().transpose(order)
    codes = _cell_codes(ordered)
    cells = np.argwhere((codes != 0) & (codes != ALL_INSIDE))
    crossed = codes[tuple(cells.T)]
    in_space = (*sides, *[1.0] * (3 - len(sides)))
    if len(sides) > 1 and sides[0] >= _THICK_SLICES * sides[1]:
        shares = np.tile(_crossing_shares(ordered, cells, sides), 2 ** (3 - len(sides)))
        centroids, areas = _patches(crossed, shares, in_space)
    else:
        centroids, areas = (of_code[crossed] for of_code in _patch_table(in_space))
    return (cells * np.array(sides) + centroids[:, : len(sides)])[:, np.argsort(order)], areas


def _cell_codes(mask: Mask) -> NDArray[np.uint8]:
    """Return a number per cell whose bit c is set if corner c is inside; each axis is one shorter than ``mask``'s.

    A plane or a line counts as the section of a body 1 mm long, whose patches have the contour's lengths as areas.
    """
    codes = mask.view(np.uint8)
    for axis in range(mask.ndim):
        along = np.moveaxis(codes, axis, 0)
        codes = np.moveaxis(along[:-1] | along[1:] << 2**axis, 0, axis)
    for axis in range(mask.ndim, 3):
        codes = codes | codes << 2**axis
    return codes


@lru_cache(maxsize=64)
def _patch_table(spacing: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    """Return ``_patches`` of every code, crossed in the middles of the edges."""
    return _patches(np.arange(ALL_INSIDE + 1, dtype=np.uint8), np.full((ALL_INSIDE + 1, 4), 0.5), spacing)


def _patches(codes: NDArray[np.uint8], shares: FloatArray, spacing: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Return the centroid (n, 3), from the cell's first corner, and the area (n,) of the patch of each cell in mm.

    ``codes`` (n,) say which corners are inside, ``shares`` (n, 4) where each edge along axis 0 is crossed.
    """
    centroids, areas = np.zeros((len(codes), 3)), np.zeros(len(codes))
    ordered = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[ordered], np.arange(ALL_INSIDE + 2))
    for code in np.setdiff1d(codes, (0, ALL_INSIDE)):
        rows = ordered[bounds[code] : bounds[code + 1]]
        middles, weights = unit_triangles(int(code))
        corners = np.repeat(middles[None], len(rows), axis=0)
        corners[..., 0] += np.tensordot(shares[rows] - 0.5, weights, axes=(1, 2))
        corners *= np.array(spacing)
        normals = np.cross(*np.moveaxis(corners[..., 1:, :] - corners[..., :1, :], -2, 0))
        of_triangles = np.sqrt(np.einsum("nti,nti->nt", normals, normals)) / 2
        areas[rows] = of_triangles.sum(axis=1)
        centroids[rows] = np.einsum("nt,ntci->ni", of_triangles, corners) / (3 * areas[rows, None])
    return centroids, areas


def _crossing_shares(mask: Mask, cells: NDArray[np.intp], spacing: Sequence[float]) -> FloatArray:
    """Return where the surface crosses the edges of ``cells`` across the slices of axis 0, in 0..1: (n, 2^(axes - 1)).

    Between two slices the surface runs from the contour in one to that in the other, so it crosses an edge at d / (d +
    d'), d and d' being the distances to the contours (shape-based interpolation, Raya and Udupa 1990). In the middle
    of each edge instead, thick slices make stairs: two surfaces share their treads, and come out 10 % too close at
    0.7x0.7x5 mm. Distances count up to the thickness of a slice, beyond which the next contour is that of another part.
    """
    shares = np.full((len(cells), 2 ** (len(spacing) - 1)), 0.5)
    bounds = np.searchsorted(cells[:, 0], np.arange(len(mask)))
    corners = np.arange(shares.shape[1])[:, None] >> np.arange(len(spacing) - 1) & 1
    contours = [_contour(plane, spacing[1:]) for plane in mask]
    for (start, stop), (near, far), trees in zip(*map(pairwise, (bounds, mask, contours)), strict=True):
        is_crossed = near != far
        points = np.argwhere(is_crossed) * np.array(spacing[1:], dtype=np.float64)
        to_near, to_far = (_distances(points, contour, spacing[0]) for contour in trees)
        plane = np.full(near.shape, 0.5)
        plane[is_crossed] = to_near / (to_near + to_far)
        shares[start:stop] = plane[tuple(np.moveaxis(cells[start:stop, None, 1:] + corners, -1, 0))]
    return shares


def _contour(plane: Mask, spacing: Sequence[float]) -> KDTree | None:
    points, _ = surface_elements(plane, spacing)
    return KDTree(points) if len(points) else None


def _distances(points: FloatArray, contour: KDTree | None, limit: float) -> FloatArray:
    """Return the distance of each of ``points`` to ``contour``, at most ``limit``."""
    if contour is None or not len(points):
        return np.full(len(points), limit)
    return np.minimum(contour.query(points, distance_upper_bound=limit)[0], limit)
