"""The trunk that holds the organs: table, skin, fat, muscles, lungs and an abdominal cavity full of fat."""

import numpy as np

from aunet.data.phantom.canvas import Canvas, Mask
from aunet.data.phantom.habitus import Habitus
from aunet.data.phantom.shapes import Field, curve, ellipsoid, tube
from aunet.data.phantom.space import FIELD_CORNER, FIELD_OF_VIEW, Array, Box, Space
from aunet.data.phantom.tissues import Tissue

EVERYWHERE: Box = (slice(None), slice(None), slice(None))
SKIN_THICKNESS = 2.0
_BELOW, _ABOVE = FIELD_CORNER[2] - 40, FIELD_CORNER[2] + FIELD_OF_VIEW[2] + 40


def paint_trunk(canvas: Canvas, habitus: Habitus) -> Field:
    """Paint all that lies around the organs but the chest; gives the field of the abdominal wall's inside."""
    space = canvas.space
    skin, cavity = body_field(space, habitus), cavity_field(space.points, habitus)
    _paint_table(canvas, habitus)
    canvas.paint(skin, Tissue.SKIN, over=(Tissue.AIR, Tissue.TABLE))
    canvas.paint(Field(EVERYWHERE, skin.values - SKIN_THICKNESS), Tissue.SUBCUTANEOUS_FAT, over=(Tissue.SKIN,))
    canvas.paint(Field(EVERYWHERE, cavity.values + habitus.wall), Tissue.MUSCLE, over=(Tissue.SUBCUTANEOUS_FAT,))
    canvas.paint(cavity, Tissue.VISCERAL_FAT, over=(Tissue.MUSCLE,))
    _paint_layers_of_wall(canvas, habitus, cavity)
    _paint_back_muscles(canvas)
    return cavity


def cavity_field(points: Array, habitus: Habitus) -> Field:
    """Distance (mm) of patient coordinates (3, H, W, D) inwards from the inner surface of abdominal and chest wall."""
    x, y, z = points
    waist = 1 + np.float32(0.04) * np.tanh(z / 60)
    half_depth = (habitus.front - habitus.back) / 2
    return _oval(x / waist, y - np.float32(habitus.middle), habitus.half_width, half_depth)


def body_field(space: Space, habitus: Habitus) -> Field:
    """Distance (mm) inwards from the skin; a furrow runs down the middle of the back."""
    x, y, z = space.points
    front = habitus.front + habitus.wall + habitus.fat_front
    back = habitus.back - 32 - habitus.fat_back
    half_width = habitus.half_width + habitus.wall + habitus.fat_side
    waist = 1 + np.float32(0.03) * np.tanh(z / 60)
    oval = _oval(x / waist, y - np.float32((front + back) / 2), half_width, (front - back) / 2)
    furrow = 7 * np.exp(-np.square(x / 16)) * (y < 0)
    return Field(EVERYWHERE, oval.values - furrow)


def _oval(x: Array, y: Array, half_width: float, half_depth: float) -> Field:
    """Superellipse |x/a|^n + |y/b|^n = 1, n = 2.5, in every axial plane; distance along the ray from its middle."""
    right, front = np.abs(x / half_width), np.abs(y / half_depth)
    level = (np.square(right) * np.sqrt(right) + np.square(front) * np.sqrt(front)) ** np.float32(0.4)
    radius = np.sqrt(np.square(x) + np.square(y))
    return Field(EVERYWHERE, (radius * (1 / np.maximum(level, 1e-3) - 1)).astype(np.float32))


def _paint_table(canvas: Canvas, habitus: Habitus) -> None:
    """A thin curved shell under the back."""
    x, y, _ = canvas.space.points
    height = y - (habitus.back - 38 - habitus.fat_back) - np.square(x) / 900
    canvas.tissue[(np.abs(height) < 2.5) & (np.abs(x) < 190)] = Tissue.TABLE


def _paint_layers_of_wall(canvas: Canvas, habitus: Habitus, cavity: Field) -> None:
    """Thin planes of fat: the white line in front, and between the flat muscles of the flank."""
    x, y, z = canvas.space.points
    depth = -cavity.values / habitus.wall
    is_flank = (np.abs(x) > 0.62 * habitus.half_width) & (y > 0) & (z < 25)
    uneven = depth + np.float32(0.05) * canvas.space.roughness
    is_layer = is_flank & ((np.abs(uneven - 0.33) < 0.08) | (np.abs(uneven - 0.68) < 0.08))
    is_groove = (np.abs(np.abs(x) - 68) < 9 * (uneven - 0.5)) & (y > habitus.middle)
    is_middle = (np.abs(x) < 12 * (uneven - 0.35)) & (y > habitus.middle)
    is_wall = canvas.tissue == Tissue.MUSCLE
    canvas.tissue[is_wall & (is_layer | is_groove | is_middle)] = Tissue.SUBCUTANEOUS_FAT


def _paint_back_muscles(canvas: Canvas) -> None:
    """Erector spinae, psoas and quadratus lumborum on both sides, and the crura of the diaphragm."""
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
    """Lung above the two domes of the diaphragm, deepest behind; the heart's underside rests between them."""
    x, y, z = canvas.space.points
    closeness = np.square(np.square(np.clip(1 - cavity.values / 85, 0, 1)))
    depth = np.where(y < habitus.middle, np.float32(72), np.float32(48)) * closeness
    lower_left = np.where(x < 0, np.float32(9), np.float32(0))
    height = z - (habitus.dome - lower_left - depth - 12 * np.exp(-np.square(x / 25)))
    is_chest = canvas.is_any(EVERYWHERE, (Tissue.VISCERAL_FAT,))
    fill_chest(canvas, habitus, height, is_chest, cavity)


def fill_chest(canvas: Canvas, habitus: Habitus, height: Array, is_chest: Mask, cavity: Field) -> None:
    """Lung where ``height`` (mm above the diaphragm) is positive, the diaphragm below it, the heart on its middle."""
    canvas.tissue[is_chest & (height > -3)] = Tissue.MUSCLE
    canvas.tissue[is_chest & (height > 0) & (cavity.values > 2)] = Tissue.LUNG
    heart = ellipsoid(canvas.space, (-18, 62, habitus.dome + 22), (58, 42, 36), (0, 0, 25))
    canvas.paint(heart, Tissue.MUSCLE, over=(Tissue.LUNG,))
