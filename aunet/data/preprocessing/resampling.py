"""Resampling between two voxel grids whose axes are parallel: permuted, flipped and of other spacing.

Preprocessing goes from the scan to such a grid and prediction goes back, so one function serves both. Along
parallel axes an interpolation is three one-dimensional ones: no rotation, no coordinate per voxel, and a sheared scan
(gantry tilt) returns to exactly its own voxels, which MONAI's Spacing does not offer: it drops shear.
"""

from collections.abc import Sequence
from copy import copy
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Resampling = Literal["area", "linear"]

Affine = NDArray[np.float64]
_SAME_SPACING = 1e-3  # relative: scans of nominally one spacing differ by rounding in their headers
_PARALLEL = 1e-3  # of a voxel, per voxel
_VALUES_AT_ONCE = 2**22


def respaced_grid(
    shape: Sequence[int], affine: Affine, spacing: Sequence[float]
) -> tuple[tuple[int, int, int], Affine]:
    """Return shape and affine of the grid of ``spacing`` (mm) with the same centre that covers the field of view.

    An axis whose spacing is within 0.1 % of the wanted one keeps its voxels.
    """
    steps = np.asarray(spacing, dtype=np.float64) / np.linalg.norm(affine[:3, :3], axis=0)
    steps[np.abs(steps - 1) < _SAME_SPACING] = 1.0
    sizes = np.maximum(np.ceil(np.asarray(shape) / steps - 1e-3), 1).astype(int)
    first_voxel = ((np.asarray(shape) - 1) - (sizes - 1) * steps) / 2
    grid_affine = affine.copy()
    grid_affine[:3, :3] = affine[:3, :3] * steps
    grid_affine[:3, 3] = affine[:3, :3] @ first_voxel + affine[:3, 3]
    height, width, depth = sizes.tolist()
    return (height, width, depth), grid_affine


class GridMapping:
    """The places of a target grid's voxels among the voxels of a source grid, axis by axis.

    ``coordinates[axis]`` are the positions, in voxels along ``axis`` of the source, of the target's voxels along its
    axis ``target_axes[axis]``; ``extents[axis]`` is how many voxels of the source one of the target covers.

    With the method "area" a target voxel larger than a source voxel takes the mean of the source over its extent,
    which keeps detail finer than the target grid from aliasing; one as large or smaller is interpolated linearly, the
    limit of that mean for equal voxels. With "linear" all are interpolated.
    """

    def __init__(
        self,
        source_affine: Affine,
        target_shape: Sequence[int],
        target_affine: Affine,
        method: Resampling = "area",
    ) -> None:
        matrix = np.linalg.inv(source_affine) @ target_affine
        target_axes = np.abs(matrix[:3, :3]).argmax(axis=1)
        scales = matrix[np.arange(3), target_axes]
        _check_parallel(matrix[:3, :3], target_axes)
        self.target_axes: list[int] = target_axes.tolist()
        self.coordinates = [
            _positions(float(scale), float(offset), target_shape[axis])
            for scale, offset, axis in zip(scales, matrix[:3, 3], self.target_axes, strict=True)
        ]
        extents: list[float] = np.abs(scales).tolist()
        self.extents = [extent if method == "area" and extent > 1 + _SAME_SPACING else 1.0 for extent in extents]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of voxels along each axis of the target."""
        return tuple(len(self.coordinates[axis]) for axis in self._source_axes)

    @property
    def is_reordering(self) -> bool:
        """Return whether every target voxel is a source voxel or lies outside, so that nothing is interpolated."""
        is_whole = all(np.array_equal(coordinates, np.rint(coordinates)) for coordinates in self.coordinates)
        return is_whole and self.extents == [1.0] * 3

    def resample(self, volume: Tensor, order: Sequence[int] | None = None) -> Tensor:
        """Return the values (h, w, d) of the source at the target's voxels, in the target's axis order.

        Beyond the source the nearest border value continues. ``order`` is that of the axes, by default ``self.order``.
        """
        for axis in self.order(volume.shape) if order is None else order:
            coordinates, extent = self.coordinates[axis], self.extents[axis]
            if extent > 1:
                volume = _average_axis(volume, axis, coordinates, extent)
            else:
                volume = _interpolate_axis(volume, axis, coordinates)
        return volume.permute(*self._source_axes)

    def order(self, source_shape: Sequence[int]) -> list[int]:
        """Return the axes of a source of this shape in the order of resampling, those that shrink most first."""
        sizes = [len(coordinates) / size for coordinates, size in zip(self.coordinates, source_shape, strict=True)]
        return np.argsort(sizes, kind="stable").tolist()

    def of_rows(self, targets: slice, first: int) -> "GridMapping":
        """Return the mapping of the part of the source from the row ``first`` along axis 0 to ``targets``.

        ``targets`` are indices along the target's axis that is parallel to the source's axis 0.
        """
        part = copy(self)
        part.coordinates = [self.coordinates[0][targets] - first, *self.coordinates[1:]]
        return part

    def needed_rows(self, num_rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the first and the last row along axis 0, of ``num_rows`` of the source, that each target row needs."""
        margin = self.extents[0] / 2 + 0.5
        bounds = np.floor(self.coordinates[0] - margin), np.ceil(self.coordinates[0] + margin)
        first, last = (np.clip(bound, 0, num_rows - 1).astype(np.intp) for bound in bounds)
        return first, last

    def outside(self, source_shape: Sequence[int]) -> list[NDArray[np.bool_]]:
        """Return for each axis of the target which positions lie beyond the outermost voxel of the source."""
        beyond = [
            (coordinates < -0.5) | (coordinates > size - 0.5)
            for coordinates, size in zip(self.coordinates, source_shape, strict=True)
        ]
        return [beyond[axis] for axis in self._source_axes]

    @property
    def _source_axes(self) -> list[int]:
        return np.argsort(self.target_axes).tolist()


def _positions(scale: float, offset: float, size: int) -> NDArray[np.float64]:
    """Return positions rounded to a millionth of a voxel, so that positions meant to be whole are."""
    positions: NDArray[np.float64] = scale * np.arange(size, dtype=np.float64) + offset
    return np.round(positions, 6)


def _check_parallel(matrix: Affine, target_axes: NDArray[np.intp]) -> None:
    rest = matrix.copy()
    rest[np.arange(3), target_axes] = 0
    is_parallel = len(set(target_axes.tolist())) == 3 and bool(np.abs(rest).max() < _PARALLEL * np.abs(matrix).max())
    assert is_parallel, f"the grids are rotated against each other: {matrix.tolist()}"


def _interpolate_axis(volume: Tensor, axis: int, coordinates: NDArray[np.float64]) -> Tensor:
    size = volume.shape[axis]
    if np.array_equal(coordinates, np.arange(size)):
        return volume
    inside = torch.from_numpy(np.clip(coordinates, 0, size - 1))
    lower = inside.floor().long()
    weights = (inside - lower).to(volume.dtype)
    if not weights.any():
        return volume.index_select(axis, lower)
    upper = (lower + 1).clamp(max=size - 1)
    result = _empty_result(volume, axis, coordinates)
    for slab in _slabs(result):
        below, above = (_take(volume, axis, indices, slab) for indices in (lower, upper))
        torch.lerp(below, above, _along(weights, axis, slab), out=result[slab])
    return result


def _average_axis(volume: Tensor, axis: int, coordinates: NDArray[np.float64], extent: float) -> Tensor:
    """Return the mean of the source over ``extent`` voxels around each position; of its border beyond it.

    Only what lies within the source counts, as a target grid may reach up to half a voxel beyond it.
    """
    size = volume.shape[axis]
    # Edges of the target's voxels, where source voxel k reaches from k to k + 1.
    edges = np.clip(np.stack([coordinates - extent / 2, coordinates + extent / 2]) + 0.5, 0, size)
    first = np.minimum(np.floor(edges[0]), size - 1).astype(int)
    is_beyond = edges[1] - edges[0] < _SAME_SPACING
    result = _empty_result(volume, axis, coordinates).zero_()
    for step in range(int(np.ceil(edges[1] - first).max())):
        share = np.clip(np.minimum(edges[1], first + step + 1) - np.maximum(edges[0], first + step), 0, None)
        of_position = np.where(is_beyond, step == 0, share / np.where(is_beyond, 1, edges[1] - edges[0]))
        weights = torch.from_numpy(of_position).to(volume.dtype)
        indices = torch.from_numpy((first + step).clip(max=size - 1))
        for slab in _slabs(result):
            result[slab].addcmul_(_take(volume, axis, indices, slab), _along(weights, axis, slab))
    return result


def _empty_result(volume: Tensor, axis: int, coordinates: NDArray[np.float64]) -> Tensor:
    return volume.new_empty([len(coordinates) if at == axis else length for at, length in enumerate(volume.shape)])


def _slabs(result: Tensor) -> list[slice]:
    """Return slabs along axis 0, so that what is taken from the source does not double the memory."""
    rows = max(1, _VALUES_AT_ONCE * len(result) // max(1, result.numel()))
    return [slice(first, first + rows) for first in range(0, len(result), rows)]


def _take(volume: Tensor, axis: int, indices: Tensor, slab: slice) -> Tensor:
    """Return the ``slab`` along axis 0 of the volume whose planes along ``axis`` are ``indices``."""
    return volume.index_select(0, indices[slab]) if axis == 0 else volume[slab].index_select(axis, indices)


def _along(weights: Tensor, axis: int, slab: slice) -> Tensor:
    """Return the weights of the positions along ``axis`` of a ``slab`` along axis 0, ready to be multiplied."""
    return (weights[slab] if axis == 0 else weights).view([-1 if at == axis else 1 for at in range(3)])
