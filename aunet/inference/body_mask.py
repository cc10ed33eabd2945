"""The body in a CT scan: its windows alone need the network, those of air and table hold nothing to segment."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.io.volume import Volume
from aunet.data.preprocessing.resampling import Affine, GridMapping

# HU between air (-1000) with the foam of a table (-900 to -600) and fat (-100), for cells averaged over a few mm.
_TISSUE = -300.0
_CELL_MM = 4.0
# Beyond the skin: wider than a cell, so that no voxel of the body lies in a cell that counts as air.
_MARGIN_MM = 12.0
# Parts as large as this share of the largest one belong to the body: arms and legs, not wires and blankets.
_SMALLEST_SHARE = 0.02


def find_body(scan: Volume, shape: tuple[int, ...], affine: Affine) -> NDArray[np.bool_]:
    """Return the body, filled and with a margin of 12 mm, on the grid of ``shape`` (h, w, d) and ``affine``.

    Args:
        scan: CT in HU.
        shape: of a grid whose axes are parallel to the scan's.
        affine: of that grid, voxel -> RAS+ mm.
    """
    spacing = np.asarray(scan.spacing)
    cell = np.clip(np.rint(_CELL_MM / spacing), 1, scan.array.shape).astype(int)
    cells = _with_margin(_filled(_large_parts(_mean_of_cells(scan.array, cell) > _TISSUE)), spacing * cell)
    mapping = GridMapping(scan.affine, shape, affine)
    places = [
        np.clip(np.rint(coordinates).astype(int) // step, 0, count - 1)
        for coordinates, step, count in zip(mapping.coordinates, cell, cells.shape, strict=True)
    ]
    return np.ascontiguousarray(cells[np.ix_(*places)].transpose(np.argsort(mapping.target_axes)))


def _mean_of_cells(array: NDArray[np.generic], cell: NDArray[np.int_]) -> NDArray[np.float32]:
    """Return the means of cells of ``cell`` voxels, fewer at the ends."""
    means = np.asarray(array, dtype=np.float32)
    for axis, step in enumerate(cell):
        starts = np.arange(0, means.shape[axis], step)
        counts = np.diff([*starts, means.shape[axis]]).reshape([-1 if at == axis else 1 for at in range(3)])
        means = (np.add.reduceat(means, starts, axis=axis) / counts).astype(np.float32)
    return means


def _large_parts(is_tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if not is_tissue.any():
        return np.ones_like(is_tissue)  # not a scan with a body: skip nothing
    parts = np.zeros(is_tissue.shape, dtype=np.int32)
    ndimage.label(is_tissue, output=parts)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return (sizes >= _SMALLEST_SHARE * sizes.max())[parts]


def _filled(is_body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what is enclosed in any plane: lungs and bowel that are open at the scan's ends are closed in others."""
    filled = is_body.copy()
    for axis in range(3):
        for index in range(is_body.shape[axis]):
            place = tuple(index if at == axis else slice(None) for at in range(3))
            filled[place] |= np.asarray(ndimage.binary_fill_holes(is_body[place]), dtype=np.bool_)
    return filled


def _with_margin(is_body: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.bool_]:
    if is_body.all():
        return is_body
    return np.asarray(ndimage.distance_transform_edt(~is_body, sampling=spacing)) <= _MARGIN_MM
