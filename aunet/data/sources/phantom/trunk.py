"""The trunk that holds the organs: table, skin, fat, muscles, lungs and an abdominal cavity full of fat."""

import numpy as np

from aunet.data.sources.phantom.canvas import Canvas, Mask
from aunet.data.sources.phantom.habitus import Habitus
from aunet.data.sources.phantom.shapes import FAR_OUTSIDE, Field, curve, ellipsoid, tube
from aunet.data.sources.phantom.space import FIELD_CORNER, FIELD_OF_VIEW, Array, Box, range_of, row_slabs
from aunet.data.sources.phantom.tissues import Tissue

EVERYWHERE: Box = (slice(None), slice(None), slice(None))
SKIN_THICKNESS = 2.0
_DEEPEST = 100.0
"""More than the largest distance (mm) of the diaphragm below its dome: 72 behind, 9 on the left, 12 in the middle."""

_TABLE_HEIGHT = 45.0
"""More than the table rises at its edges (mm): 190² / 900 + 2.5."""

_BELOW, _ABOVE = FIELD_CORNER[2] - 40, FIELD_CORNER[2] + FIELD_OF_VIEW[2] + 40


def paint_trunk(canvas: Canvas, habitus: Habitus) -> Field:
    """Paint all that lies around the organs except the chest; return the field of the abdominal wall's inside."""
    cavity = Field(EVERYWHERE, np.full(canvas.space.shape, FAR_OUTSIDE, dtype=np.float32))
    backmost, frontmost = canvas.space.points[1].min(axis=2), canvas.space.points[1].max(axis=2)
    for rows in row_slabs(canvas.space.shape[0]):
        back, front = backmost[rows].min(axis=0), frontmost[rows].max(axis=0)
        _paint_table(canvas.part(rows, range_of(back < habitus.table + _TABLE_HEIGHT)), habitus)
        columns = range_of((front > habitus.skin_back - 1) & (back < habitus.skin_front + 1))
        part = canvas.part(rows, columns)
        inside = cavity_field(part.space.points, habitus)
        cavity.values[rows, columns] = inside.values
        _paint_layers(part, habitus, inside)
        _paint_fat_in_wall(part, habitus, inside)
    _paint_back_muscles(canvas)
    return cavity


def _paint_layers(canvas: Canvas, habitus: Habitus, cavity: Field) -> None:
    """Paint the fat of the cavity and, around it, muscle, fat and skin.

    The depth below the skin is computed outside the cavity alone: the cavity lies within the body by construction.
    """
    is_wall = cavity.values <= 0
    x, y, z = (axis[is_wall] for axis in canvas.space.points)
    depth = _body_depth(x, y, z, habitus)
    tissue = canvas.tissue[is_wall]
    tissue[depth > 0] = Tissue.SKIN
    is_below_skin = depth > SKIN_THICKNESS
    tissue[is_below_skin] = Tissue.SUBCUTANEOUS_FAT
    tissue[is_below_skin & (cavity.values[is_wall] > -habitus.wall)] = Tissue.MUSCLE
    canvas.tissue[is_wall] = tissue
    canvas.tissue[~is_wall] = Tissue.VISCERAL_FAT


def cavity_field(points: Array, habitus: Habitus) -> Field:
    """Return the depth (mm) of points (3, H, W, D) below the inner surface of abdominal and chest wall."""
    x, y, z = points
    waist = 1 + np.float32(0.04) * np.tanh(z / 60)
    half_depth = (habitus.front - habitus.back) / 2
    return Field(EVERYWHERE, _oval(x / waist, y - np.float32(habitus.middle), habitus.half_width, half_depth))


def _body_depth(x: Array, y: Array, z: Array, habitus: Habitus) -> Array:
    """Return the depth (mm) below the skin of patient coordinates; a furrow runs down the middle of the back."""
    front, back = habitus.skin_front, habitus.skin_back
    half_width = habitus.half_width + habitus.wall + habitus.fat_side
    waist = 1 + np.float32(0.03) * np.tanh(z / 60)
    oval = _oval(x / waist, y - np.float32((front + back) / 2), half_width, (front - back) / 2)
    furrow = 7 * np.exp(-np.square(x / 16)) * (y < 0)
    return oval - furrow


def _oval(x: Array, y: Array, half_width: float, half_depth: float) -> Array:
    """Return the depth (mm) in |x/a|^n + |y/b|^n = 1, n = 2.5, in every axial plane, along the ray from its middle."""
    right, front = np.abs(x / half_width), np.abs(y / half_depth)
    level = (np.square(right) * np.sqrt(right) + np.square(front) * np.sqrt(front)) ** np.float32(0.4)
    radius = np.sqrt(np.square(x) + np.square(y))
    return (radius * (1 / np.maximum(level, 1e-3) - 1)).astype(np.float32, copy=False)


def _paint_table(canvas: Canvas, habitus: Habitus) -> None:
    """Paint a thin curved shell under the back."""
    x, y, _ = canvas.space.points
    height = y - habitus.table - np.square(x) / 900
    canvas.tissue[(np.abs(height) < 2.5) & (np.abs(x) < 190)] = Tissue.TABLE


def _paint_fat_in_wall(canvas: Canvas, habitus: Habitus, cavity: Field) -> None:
    """Paint thin planes of fat: the white line in front, and between the flat muscles of the flank."""
    wall = canvas.tissue == Tissue.MUSCLE
    x, y, z = (axis[wall] for axis in canvas.space.points)
    depth = -cavity.values[wall] / habitus.wall
    is_flank = (np.abs(x) > 0.62 * habitus.half_width) & (y > 0) & (z < 25)
    uneven = depth + np.float32(0.05) * canvas.space.roughness[wall]
    is_layer = is_flank & ((np.abs(uneven - 0.33) < 0.08) | (np.abs(uneven - 0.68) < 0.08))
    is_groove = (np.abs(np.abs(x) - 68) < 9 * (uneven - 0.5)) & (y > habitus.middle)
    is_middle = (np.abs(x) < 12 * (uneven - 0.35)) & (y > habitus.middle)
    is_fat = is_layer | is_groove | is_middle
    canvas.tissue[wall] = np.where(is_fat, np.uint8(Tissue.SUBCUTANEOUS_FAT), np.uint8(Tissue.MUSCLE))


def _paint_back_muscles(canvas: Canvas) -> None:
    """Paint erector spinae, psoas and quadratus lumborum on both sides, and the crura of the diaphragm."""
    over = (Tissue.SUBCUTANEOUS_FAT, Tissue.VISCERAL_FAT)
    for side in (-1.0, 1.0):
        muscles = (
            curve([[side * 33, -58, _BELOW], [side * 34, -56, 0], [side * 30, -54, _ABOVE]], [27, 26, 21]),
            curve([[side * 52, -50, _BELOW], [side * 50, -49, 0], [side * 44, -49, _ABOVE]], [22, 21, 17]),
            curve([[side * 44, -2, _BELOW], [side * 36, -8, -40], [side * 27, -11, 12]], [25, 17, 5]),
            curve([[side * 74, -38, _BELOW], [side * 64, -37, -40], [side * 54, -33, 35]], [15, 12, 6]),
            curve([[side * 16, 18, -15], [side * 15, 24, 40], [side * 16, 26, 110]], [4, 6, 6]),
        )
        for centers, radii in muscles:
            canvas.paint(tube(canvas.space, centers, radii), Tissue.MUSCLE, over=over)


def paint_chest(canvas: Canvas, habitus: Habitus, cavity: Field) -> None:
    """Paint lung above the two domes of the diaphragm, deepest behind, and the heart's underside between them."""
    highest = np.float32(habitus.dome - _DEEPEST)
    chest = canvas.is_any(EVERYWHERE, (Tissue.VISCERAL_FAT,)) & (canvas.space.points[2] > highest)
    x, y, z = (axis[chest] for axis in canvas.space.points)
    closeness = np.square(np.square(np.clip(1 - cavity.values[chest] / 85, 0, 1)))
    depth = np.where(y < habitus.middle, np.float32(72), np.float32(48)) * closeness
    lower_left = np.where(x < 0, np.float32(9), np.float32(0))
    height = z - (habitus.dome - lower_left - depth - 12 * np.exp(-np.square(x / 25)))
    fill_chest(canvas, habitus, chest, height, cavity)


def fill_chest(canvas: Canvas, habitus: Habitus, chest: Mask, height: Array, cavity: Field) -> None:
    """Paint lung if ``height`` (mm above the diaphragm, of each voxel) is positive, and diaphragm and heart below it.

    ``chest`` marks the voxels that may be either.
    """
    tissue = np.where(height > -3, np.uint8(Tissue.MUSCLE), canvas.tissue[chest])
    tissue[(height > 0) & (cavity.values[chest] > 2)] = Tissue.LUNG
    canvas.tissue[chest] = tissue
    heart = ellipsoid(canvas.space, (-18, 62, habitus.dome + 22), (58, 42, 36), (0, 0, 25))
    canvas.paint(heart, Tissue.MUSCLE, over=(Tissue.LUNG,))
