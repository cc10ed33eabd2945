"""Painting fields into a volume of tissues: each shape takes only what is still free, so organs never overlap."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.phantom.shapes import FAR_OUTSIDE, Field
from aunet.data.phantom.space import Array, Box, Space
from aunet.data.phantom.tissues import Tissue

Mask = NDArray[np.bool_]
FREE = (Tissue.VISCERAL_FAT,)
FAT = (Tissue.VISCERAL_FAT, Tissue.FAT_PLANE)
GUT_FAT_PLANE = 0.8
"""Fat (mm) around a gut segment."""

_FIT_ROUNDS, _FIT_TOLERANCE = 8, 0.02


class Canvas:
    """Tissue volume (H, W, D) uint8 on a space."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.tissue = np.full(space.shape, Tissue.AIR, dtype=np.uint8)

    def is_any(self, box: Box, tissues: Collection[Tissue]) -> Mask:
        """Which voxels of a box (h, w, d) hold one of ``tissues``."""
        table = np.zeros(len(Tissue), dtype=bool)
        table[list(tissues)] = True
        return table[self.tissue[box]]

    def paint(self, field: Field, tissue: Tissue, over: Collection[Tissue] = FREE) -> Mask:
        """Paint the inside of a shape over free voxels; tells which of its box (h, w, d) were painted."""
        mask = (field.values > 0) & self.is_any(field.box, over)
        self.tissue[field.box][mask] = tissue
        return mask

    def paint_organ(self, field: Field, tissue: Tissue, volume_ml: float, fat_plane: float) -> tuple[Field, Mask]:
        """Paint a shape, grown or shrunk along its field until it fills ``volume_ml`` of free voxels, in one piece.

        ``fat_plane`` mm around it stay fat. Gives its field, now zero on its surface, and the painted voxels.
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
        self.paint(Field(field.box, field.values + np.float32(GUT_FAT_PLANE)), Tissue.FAT_PLANE)
        steps = max(1, round(thickness / max(self.space.spacing)))
        inner = np.asarray(ndimage.binary_erosion(mask, iterations=steps), dtype=bool)
        lumen = inner & (field.values > thickness)
        self.tissue[field.box][lumen] = content
        self.tissue[field.box][lumen & (self.space.points[1][field.box] > gas_above)] = Tissue.GAS


def depth_below_surface(mask: Mask, spacing: tuple[float, float, float]) -> Array:
    """Distance (h, w, d) in mm of each voxel of a mask to the nearest one outside it; 0 outside."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing), dtype=np.float32)


def _fit_level(depth: Array, voxels: int) -> tuple[float, Mask]:
    """Depth above which the largest connected piece of a field comes closest to a number of voxels, and that piece.

    A level that gives the number in all is tried first; what it leaves in lesser pieces is made up for.
    """
    wanted, tried = voxels, dict[int, tuple[float, Mask]]()
    for _ in range(_FIT_ROUNDS):
        level = float(np.partition(depth, -wanted, axis=None)[-wanted])
        piece = _largest_piece(depth > level)
        error = voxels - int(piece.sum())
        tried[abs(error)] = level, piece
        if abs(error) < _FIT_TOLERANCE * voxels:
            break
        wanted = min(max(wanted + error, 1), depth.size)
    return tried[min(tried)]


def _largest_piece(mask: Mask) -> Mask:
    """The biggest of the connected parts of a mask."""
    pieces = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=pieces)
    if pieces.max() < 2:
        return mask
    return pieces == np.bincount(pieces[mask]).argmax()
