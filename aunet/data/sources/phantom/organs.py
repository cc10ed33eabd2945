"""Solid organs: pancreas, spleen and kidneys, which the classes name, and liver and gallbladder beside them."""

import numpy as np

from aunet.data.sources.phantom.canvas import FAT, Canvas, Mask, depth_below_surface
from aunet.data.sources.phantom.shapes import (
    MARGIN,
    Field,
    Vectors,
    curve,
    ellipsoid,
    roughened,
    smooth_difference,
    smooth_union,
    tube,
    without,
)
from aunet.data.sources.phantom.space import Array, Box, row_slabs
from aunet.data.sources.phantom.tissues import Tissue

_PANCREAS_KNOTS = np.array(
    [(22, 48, -24), (30, 52, -6), (25, 57, 10), (6, 66, 23), (-20, 62, 31), (-50, 44, 37), (-82, 12, 44)], dtype=float
)
_PANCREAS_RADII = (8.5, 12.0, 11.5, 9.0, 10.0, 10.5, 9.0)
_CORTEX = 7.0
"""Thickness (mm) of the renal cortex."""


def draw_pancreas_knots(generator: np.random.Generator) -> Vectors:
    """Draw knots (7, 3) from the head in the duodenum's loop to the tail at the spleen; arched, bent or straight."""
    place = generator.normal((-2, 0, 2), (4, 3, 6))
    bend = generator.normal(0, (4, 4, 5), _PANCREAS_KNOTS.shape)
    towards_tail = np.array((0, 0, 0, 0.1, 0.3, 0.65, 1.0))[:, None]
    return _PANCREAS_KNOTS + place + bend + towards_tail * generator.normal(0, (8, 9, 14)).clip(-18, 18)


def paint_pancreas(canvas: Canvas, generator: np.random.Generator, knots: Vectors, fat_plane: float) -> None:
    """Paint a lobulated tube of 45-105 ml through the knots."""
    thickness = generator.uniform(0.9, 1.1, len(knots))
    organ = tube(canvas.space, *curve(knots, list(_PANCREAS_RADII * thickness)), margin=MARGIN)
    volume = _draw_volume(generator, 74, 18, 47, 104)
    canvas.paint_organ(roughened(canvas.space, organ, 1.1), Tissue.PANCREAS, volume, fat_plane)


def paint_spleen(canvas: Canvas, generator: np.random.Generator, fat_plane: float) -> None:
    """Paint a slab of 110-290 ml against the left chest wall, hollow towards stomach and kidney."""
    center = np.array((-102.0, -17.0, 64.0)) + generator.normal(0, (3, 7, 9))
    radii = np.array((34.0, 44.0, 56.0)) * generator.uniform(0.9, 1.1, 3)
    organ = ellipsoid(canvas.space, center, radii, (generator.normal(-20, 9), 0, generator.normal(-12, 6)))
    bed = center + (41, 32, 0) + generator.normal(0, 4, 3)
    organ = without(organ, ellipsoid(canvas.space, bed, (35, 42, 75)))
    volume = _draw_volume(generator, 190, 55, 112, 285)
    canvas.paint_organ(roughened(canvas.space, organ, 0.8), Tissue.SPLEEN, volume, fat_plane)


def paint_kidney(canvas: Canvas, generator: np.random.Generator, side: float, fat_plane: float) -> Vectors:
    """Paint a bean of 125-195 ml beside the spine (``side`` 1 right, -1 left); return its inward hilum (3,)."""
    center = np.array((side * 67.0, -9.0, -3.0 - 6 * side)) + generator.normal(0, (3, 3, 8))
    tilt = np.array((-side * generator.normal(9, 3), -generator.normal(8, 3), generator.normal(28, 1.5)))
    knots = [center - tilt, center + (side * 5, 0, 0), center + tilt]
    bean = tube(canvas.space, *curve(knots, [23.5, 26.5, 24.0], step=0.15), margin=MARGIN)
    hilum = center + (-side * 20, 8, 0)
    sinus = ellipsoid(canvas.space, hilum, (17, 8, 19))
    organ = roughened(canvas.space, without(bean, sinus), 0.7)
    volume = _draw_volume(generator, 158, 20, 126, 194)
    fitted, mask = canvas.paint_organ(organ, Tissue.KIDNEY_CORTEX, volume, 1.5 * fat_plane)
    paint_medulla(canvas, fitted.box, mask, center)
    pelvis = ellipsoid(canvas.space, center + (-side * 14, 6, 0), (9, 4, 10))
    canvas.paint(pelvis, Tissue.RENAL_PELVIS, over=FAT)
    return hilum


def paint_medulla(canvas: Canvas, box: Box, mask: Mask, center: Vectors) -> None:
    """Paint pyramids below the cortex of a kidney, the ``mask`` (h, w, d) in a box, with cortex between them."""
    deep = depth_below_surface(mask, canvas.space.spacing) > _CORTEX
    x, y, z = (
        axis[deep] - middle for axis, middle in zip(canvas.space.points_in(box), center.astype(np.float32), strict=True)
    )
    pyramids = np.cos(np.arctan2(y, np.abs(x) + 4) * 5) + np.cos(z * (2 * np.pi / 21)) + 0.9
    canvas.tissue[box][deep] = np.where(pyramids > 0, np.uint8(Tissue.KIDNEY_MEDULLA), canvas.tissue[box][deep])


def paint_liver(canvas: Canvas, generator: np.random.Generator, fat_plane: float) -> None:
    """Paint 1150-2000 ml under the right dome of the diaphragm, with a thin left lobe before the stomach."""
    right = ellipsoid(canvas.space, (74, 12, 46), (76, 86, 88))
    left_end = generator.uniform(-12, 12)
    left = ellipsoid(canvas.space, (left_end, 64, 80), (74, 42, 34), (0, 8, 0))
    organ = smooth_union(right, left, 12.0)
    below = _below_liver(canvas.space.points_in(organ.box))
    porta = ellipsoid(canvas.space, (14, 30, 32), (26, 24, 40), (0, 20, 0))
    organ = smooth_difference(organ, Field(organ.box, below), 24.0)
    organ = smooth_difference(organ, porta, 12.0)
    fissure = ellipsoid(canvas.space, (6, 96, 40), (2.5, 30, 34), (0, 0, -8))
    volume = _draw_volume(generator, 1500, 230, 1150, 2000)
    canvas.paint_organ(without(organ, fissure), Tissue.LIVER, volume, fat_plane)


def _below_liver(points: Array) -> Array:
    """Return about the depth (h, w, d) in mm under the plane that the liver's lower surface follows."""
    below = np.empty(points.shape[1:], dtype=np.float32)
    for rows in row_slabs(len(below)):
        x, y, z = points[:, rows]
        below[rows] = -(0.52 * (x - 30) + 0.78 * (z - 22) + 0.35 * np.clip(y - 50, 0, 25))
    return below


def paint_gallbladder(canvas: Canvas, generator: np.random.Generator) -> None:
    """Paint a pear of bile below the liver."""
    center = np.array((52.0, 66.0, 8.0)) + generator.normal(0, (5, 5, 6))
    radii = np.array((12.0, 12.0, 25.0)) * generator.uniform(0.75, 1.25)
    organ = ellipsoid(canvas.space, center, radii, (40, 0, 0))
    canvas.paint(organ, Tissue.GALLBLADDER, over=(*FAT, Tissue.LIVER))


def _draw_volume(generator: np.random.Generator, mean: float, deviation: float, low: float, high: float) -> float:
    """Draw a volume in ml, normal within limits."""
    return float(np.clip(generator.normal(mean, deviation), low, high))
