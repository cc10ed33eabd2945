"""Aorta, inferior vena cava and their branches; the vein behind the pancreas."""

import numpy as np
from numpy.typing import ArrayLike

from aunet.data.sources.phantom.canvas import FAT, FREE, Canvas
from aunet.data.sources.phantom.shapes import Vectors, curve, ellipsoid, tube
from aunet.data.sources.phantom.space import FIELD_CORNER
from aunet.data.sources.phantom.tissues import Tissue

_BELOW = FIELD_CORNER[2] - 40
_SPLENIC_VEIN_RADIUS = 4.0


def paint_great_vessels(canvas: Canvas, generator: np.random.Generator) -> None:
    """Paint the aorta left of the middle, the vena cava right of it, and the two mesenteric vessels before them."""
    aorta, cava = generator.uniform(8.0, 11.5), generator.uniform(8.0, 12.0)
    x, bulge = generator.uniform(-12, -4), generator.normal(0, 2)
    _paint(canvas, Tissue.ARTERY, [[x, 26, _BELOW], [x + bulge, 27, 0], [x, 24, 70], [x - 3, 8, 170]], 4 * [aorta])
    _paint(canvas, Tissue.ARTERY, [[x + 3, 30, 20], [-1, 47, 0], [0, 62, -50], [3, 68, -90]], [4, 4, 3.5, 3])
    _paint(canvas, Tissue.ARTERY, [[x + 2, 32, 34], [0, 46, 36], [20, 50, 34]], [4, 3.5, 3])
    _paint(canvas, Tissue.VEIN, [[22, 24, _BELOW], [20, 28, -30], [22, 30, 30], [22, 24, 150]], 4 * [cava])
    _paint(canvas, Tissue.PORTAL_VEIN, [[8, 52, 24], [10, 55, -12], [11, 66, -50], [14, 72, -90]], [6.5, 6, 5, 4])
    _paint(canvas, Tissue.PORTAL_VEIN, [[8, 52, 24], [20, 50, 34], [38, 46, 46]], [6.5, 7, 7])


def paint_splenic_vein(canvas: Canvas, pancreas: Vectors) -> None:
    """Paint the vein behind the ``pancreas`` (knots (K, 3)), from the spleen's hilum to the portal vein."""
    behind = pancreas[3:] + (0, -13, 2)
    knots = np.concatenate([[(8.0, 52.0, 24.0)], behind[1:]])
    _paint(canvas, Tissue.PORTAL_VEIN, knots, len(knots) * [_SPLENIC_VEIN_RADIUS])


def paint_renal_vessels(canvas: Canvas, side: float, hilum: Vectors) -> None:
    """Paint vein and artery from a kidney's hilum (3,) to the great vessels; the left vein crosses before the aorta."""
    height = float(hilum[2])
    cava, aorta = (20.0, 30.0, height + 4), (-8.0, 24.0, height + 8)
    between = [(-30.0, 28.0, height + 2), (-10.0, 43.0, height + 4)] if side < 0 else [(40.0, 16.0, height + 2)]
    vein = [tuple(hilum), *between, cava]
    _paint(canvas, Tissue.VEIN, vein, len(vein) * [4.2], over=FAT)
    artery = [aorta, (side * 30.0, 10.0, height + 5), tuple(hilum + (0, -4, 3))]
    _paint(canvas, Tissue.ARTERY, artery, [3, 2.8, 2.5], over=FAT)


def paint_liver_vessels(canvas: Canvas, generator: np.random.Generator) -> None:
    """Paint branches of the portal vein, and three hepatic veins that meet at the vena cava below the diaphragm."""
    jitter = generator.normal(0, 5, (5, 3))
    porta, mouth = np.array((38.0, 46.0, 44.0)), np.array((26.0, 26.0, 104.0))
    for end, bend in (((105, 20, 38), (70, 35, 46)), ((-15, 72, 78), (12, 62, 62))):
        knots = [porta, bend + jitter[0], end + jitter[1]]
        _paint(canvas, Tissue.PORTAL_VEIN, knots, [6.5, 5, 2.5], over=(Tissue.LIVER,))
    for end, offset in zip(((120, 20, 70), (70, 75, 60), (-5, 75, 85)), jitter[2:], strict=True):
        knots = np.stack([mouth, (mouth + end) / 2 + (0, 0, 8) + offset, np.array(end)])
        _paint(canvas, Tissue.VEIN, knots, [5.5, 4.5, 2], over=(Tissue.LIVER,))


def paint_mesenteric_vessels(canvas: Canvas, generator: np.random.Generator, number: int = 14) -> None:
    """Paint thin branches through the fat between the loops of bowel."""
    for _ in range(number):
        start = np.array((10.0, 68.0, generator.uniform(-85, -25)))
        end = start + generator.normal(0, (45, 12, 25))
        middle = (start + end) / 2 + generator.normal(0, 8, 3)
        _paint(canvas, Tissue.PORTAL_VEIN, [start, middle, end], [2.2, 1.8, 1.2])


def paint_adrenals(canvas: Canvas) -> None:
    """Paint two thin limbs above each kidney."""
    for corner, limbs in (
        ((-26, 10, 44), ((-40, -2, 40), (-34, -8, 46))),
        ((28, 10, 50), ((42, -4, 46), (34, -8, 52))),
    ):
        for limb in limbs:
            _paint(canvas, Tissue.ADRENAL, [corner, limb], [3.4, 2.4])
    canvas.paint(ellipsoid(canvas.space, (-27, 12, 43), (5, 4, 6)), Tissue.ADRENAL)


def _paint(
    canvas: Canvas, tissue: Tissue, knots: ArrayLike, radii: list[float], over: tuple[Tissue, ...] = FREE
) -> None:
    canvas.paint(tube(canvas.space, *curve(knots, radii, step=0.5)), tissue, over=over)
