"""Painting fields into a volume of tissues: each shape takes only what is still free, so organs never overlap."""

from collections.abc import Collection
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.sources.phantom.shapes import FAR_OUTSIDE, Field
from aunet.data.sources.phantom.space import Array, Box, Space, box_of
from aunet.data.sources.phantom.tissues import Tissue

Mask = NDArray[np.bool_]
FREE = (Tissue.VISCERAL_FAT,)
FAT = (Tissue.VISCERAL_FAT, Tissue.FAT_PLANE)
GUT_FAT_PLANE = 0.8
"""Fat (mm) around a gut segment."""

_FIT_ROUNDS, _FIT_TOLERANCE = 8, 0.02


class Canvas:
    """Tissue volume (H, W, D) uint8 on a space; all air unless ``tissue`` is given."""

    def __init__(self, space: Space, tissue: NDArray[np.uint8] | None = None) -> None:
        self.space = space
        self.tissue = np.full(space.shape, Tissue.AIR, dtype=np.uint8) if tissue is None else tissue

    def part(self, rows: slice, columns: slice) -> "Canvas":
        """Return a canvas that paints into some rows and columns of this one."""
        return Canvas(self.space.part(rows, columns), self.tissue[rows, columns])

    def is_any(self, box: Box, tissues: Collection[Tissue]) -> Mask:
        """Return which voxels of a box (h, w, d) hold one of ``tissues``."""
        held = self.tissue[box]
        masks = (held == np.uint8(tissue) for tissue in tissues)  # ten times faster than a table lookup
        return reduce(np.logical_or, masks)

    def paint(self, field: Field, tissue: Tissue, over: Collection[Tissue] = FREE, grown: float = 0.0) -> Mask:
        """Paint the inside of a shape, ``grown`` by some mm, over free voxels; return the voxels painted (h, w, d)."""
        mask = field.values > -grown
        mask &= self.is_any(field.box, over)
        self.tissue[field.box][mask] = tissue
        return mask

    def paint_organ(self, field: Field, tissue: Tissue, volume_ml: float, fat_plane: float) -> tuple[Field, Mask]:
        """Paint a shape, grown or shrunk along its field until it fills ``volume_ml`` of free voxels, in one piece.

        ``fat_plane`` mm around it stay fat. Returns its field, now zero on its surface, and the painted voxels.
        """
        free = self.is_any(field.box, FREE)
        level, mask = _fit_level(np.where(free, field.values, FAR_OUTSIDE), self.space.voxels_of(volume_ml))
        fitted = Field(field.box, field.values - np.float32(level))
        self.tissue[field.box][free & (fitted.values > -fat_plane)] = Tissue.FAT_PLANE
        self.tissue[field.box][mask] = tissue
        return fitted, mask

    def paint_hollow(self, field: Field, wall: tuple[Tissue, float], content: Tissue, gas_above: float) -> None:
        """Paint a gut segment: its wall (tissue, mm), its content, and gas in front of the plane y = ``gas_above`` mm.

        Gas rises to the front of a patient who lies on the back.
        """
        tissue, thickness = wall
        mask = self.paint(field, tissue)
        self.paint(field, Tissue.FAT_PLANE, grown=GUT_FAT_PLANE)
        deep = field.values > thickness
        if not deep.any():
            return
        lumen = eroded(mask, max(1, round(thickness / max(self.space.spacing)))) & deep
        front = self.space.points[1][field.box][lumen]
        self.tissue[field.box][lumen] = np.where(front > gas_above, np.uint8(Tissue.GAS), np.uint8(content))


def depth_below_surface(mask: Mask, spacing: tuple[float, float, float]) -> Array:
    """Return the distance (h, w, d) in mm of each voxel of a mask to the nearest one outside it; 0 outside."""
    # One voxel around the mask holds whatever lies nearest outside.
    box = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in box_of(mask))
    depth = np.zeros(mask.shape, dtype=np.float32)
    depth[box] = ndimage.distance_transform_edt(mask[box], sampling=spacing)
    return depth


def eroded(mask: Mask, steps: int) -> Mask:
    """Return a mask without its outermost ``steps`` layers of voxels; what lies off the volume is outside."""
    inner = np.zeros([size + 2 for size in mask.shape], dtype=bool)
    for _ in range(steps):
        inner[1:-1, 1:-1, 1:-1] = mask
        mask = inner[1:-1, 1:-1, :-2] & inner[1:-1, 1:-1, 2:] & mask
        mask &= inner[1:-1, :-2, 1:-1]
        mask &= inner[1:-1, 2:, 1:-1]
        mask &= inner[:-2, 1:-1, 1:-1]
        mask &= inner[2:, 1:-1, 1:-1]
    return mask


def _fit_level(depth: Array, voxels: int) -> tuple[float, Mask]:
    """Return the depth above which a field's largest connected piece comes closest to ``voxels``, and that piece.

    The first level tried has that number in all; the next ones make up for the voxels in smaller pieces.
    """
    near = depth[depth > FAR_OUTSIDE / 2]
    wanted, tried = voxels, dict[int, tuple[float, Mask]]()
    for _ in range(_FIT_ROUNDS):
        candidates = near if wanted <= near.size else depth
        level = float(np.partition(candidates, -wanted, axis=None)[-wanted])
        piece = _largest_piece(depth > level)
        error = voxels - int(piece.sum())
        tried[abs(error)] = level, piece
        if abs(error) < _FIT_TOLERANCE * voxels:
            break
        wanted = min(max(wanted + error, 1), depth.size)
    return tried[min(tried)]


def _largest_piece(mask: Mask) -> Mask:
    """Return the biggest of the connected parts of a mask."""
    box = box_of(mask)
    pieces = np.empty(mask[box].shape, dtype=np.int32)
    ndimage.label(mask[box], output=pieces)
    if pieces.max(initial=0) < 2:
        return mask
    largest = np.zeros_like(mask)
    largest[box] = pieces == np.bincount(pieces[mask[box]]).argmax()
    return largest
