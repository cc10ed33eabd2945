"""Stomach, duodenum, colon and small bowel: walls that hold content and gas."""

import numpy as np

from aunet.data.sources.phantom.canvas import Canvas
from aunet.data.sources.phantom.shapes import Field, Vectors, curve, roughened, tube, without
from aunet.data.sources.phantom.space import FIELD_CORNER
from aunet.data.sources.phantom.tissues import Tissue

_BELOW = FIELD_CORNER[2] - 30
_STOMACH_KNOTS = (
    (-58, -2, 96), (-66, 24, 80), (-60, 60, 56), (-42, 88, 32), (-10, 94, 17), (18, 86, 13), (37, 72, 13),
)  # fmt: skip
_STOMACH_RADII = (26.0, 35.0, 31.0, 26.0, 20.0, 16.0, 9.0)
_BED_RADIUS = 17.0
_DUODENUM_KNOTS = (
    (37, 72, 13), (53, 66, 18), (60, 54, 0), (57, 46, -30), (36, 45, -46), (2, 50, -44), (-26, 46, -28), (-38, 58, -16),
)  # fmt: skip
_COLON_KNOTS = (
    ((98, 10, _BELOW), (100, 10, -70), (97, 22, -32), (84, 48, -14)),
    ((84, 48, -14), (54, 84, -34), (4, 96, -46), (-48, 90, -26), (-88, 62, 8), (-104, 34, 22)),
    ((-104, 34, 22), (-109, 8, 0), (-108, -2, -50), (-98, 4, _BELOW)),
)  # fmt: skip
_COLON_RADII = (23.0, 18.0, 14.0)
_HAUSTRUM = 26.0
"""Length (mm) of one pouch of the colon."""

_LOOPS_MIDDLE, _LOOPS_REACH = np.array((-6.0, 58.0, -66.0)), np.array((104.0, 46.0, 60.0))


def paint_stomach(canvas: Canvas, generator: np.random.Generator, pancreas: Vectors) -> None:
    """Paint the stomach from fundus to pylorus, before its bed, the ``pancreas`` (K, 3 knots); empty to full."""
    fullness = generator.uniform(0.72, 1.12)
    knots = np.array(_STOMACH_KNOTS) + generator.normal(0, 4, 3) + generator.normal(0, 4, (len(_STOMACH_KNOTS), 3))
    centers, radii = curve(knots, list(fullness * np.array(_STOMACH_RADII)))
    field = without(roughened(canvas.space, tube(canvas.space, centers, radii), 1.0), _stomach_bed(canvas, pancreas))
    gas = generator.uniform(58, 102)
    canvas.paint_hollow(field, (Tissue.STOMACH_WALL, generator.uniform(3.5, 6.0)), Tissue.STOMACH_CONTENT, gas)


def _stomach_bed(canvas: Canvas, pancreas: Vectors) -> Field:
    """Return the field of body and tail of the pancreas and of the space behind them."""
    centers, radii = curve(pancreas[3:], len(pancreas[3:]) * [_BED_RADIUS], step=0.5)
    behind = [centers - (0, depth, 0) for depth in (5, 22, 40)]
    return tube(canvas.space, np.concatenate(behind), np.tile(radii, len(behind)))


def paint_duodenum(canvas: Canvas, generator: np.random.Generator, shift: Vectors) -> None:
    """Paint a loop around the head of the pancreas, which it follows by ``shift`` (3,) mm, then to the left."""
    knots = np.array(_DUODENUM_KNOTS) + generator.normal(0, 3, (len(_DUODENUM_KNOTS), 3))
    knots[1:5] += shift
    _paint_loop(canvas, generator, knots, generator.uniform(9.5, 13.0))


def paint_colon(canvas: Canvas, generator: np.random.Generator) -> None:
    """Paint ascending, transverse and descending colon, pouched, with stool below gas; the middle part may sag."""
    sag = generator.normal(0, 12)
    for knots, radius in zip(_COLON_KNOTS, _COLON_RADII, strict=True):
        knots = np.array(knots, dtype=float) + generator.normal(0, 4, (len(knots), 3))
        knots[1:-1, 2] += sag * (radius == _COLON_RADII[1])
        radius *= generator.uniform(0.75, 1.2)
        centers, radii = curve(knots, len(knots) * [radius], step=0.25)
        along = np.linalg.norm(np.diff(centers, axis=0), axis=1).cumsum()
        radii[1:] *= 1 - 0.16 * np.abs(np.sin(np.pi * along / _HAUSTRUM)) ** 4
        gas = float(centers[:, 1].mean()) + radius * generator.uniform(-0.5, 1.3)
        canvas.paint_hollow(tube(canvas.space, centers, radii), (Tissue.BOWEL_WALL, 2.5), Tissue.STOOL, gas)


def paint_small_bowel(canvas: Canvas, generator: np.random.Generator, number: int = 24) -> None:
    """Paint loops that wander through the middle of the abdomen wherever there is room."""
    for _ in range(number):
        knots = _draw_wandering(generator, steps=int(generator.integers(5, 9)))
        _paint_loop(canvas, generator, knots, generator.uniform(8.5, 13.5))


def _paint_loop(canvas: Canvas, generator: np.random.Generator, knots: Vectors, radius: float) -> None:
    """Paint a gut segment, collapsed, full of fluid, or with some gas."""
    radii = radius * generator.uniform(0.85, 1.15, len(knots))
    field = tube(canvas.space, *curve(knots, list(radii), step=0.4))
    wall = generator.choice((2.5, 4.0, 20.0), p=(0.5, 0.3, 0.2))
    gas = float(knots[:, 1].max()) + radius * generator.choice((0.1, 2.0), p=(0.25, 0.75))
    content = Tissue.BOWEL_FLUID if generator.random() < 0.4 else Tissue.BOWEL_CONTENT
    canvas.paint_hollow(field, (Tissue.BOWEL_WALL, float(wall)), content, gas)


def _draw_wandering(generator: np.random.Generator, steps: int, length: float = 26.0) -> Vectors:
    """Draw knots (steps, 3) of a random walk that turns back if it would leave the region of the loops."""
    direction = _unit(generator.standard_normal(3))
    knots = [_LOOPS_MIDDLE + _LOOPS_REACH * generator.uniform(-0.8, 0.8, 3)]
    for _ in range(steps - 1):
        direction = _unit(direction + generator.normal(0, 0.75, 3))
        outside = (knots[-1] + length * direction - _LOOPS_MIDDLE) / _LOOPS_REACH
        if np.square(outside).sum() > 1:
            direction = _unit(direction - outside * np.linalg.norm(outside))
        knots.append(knots[-1] + length * direction)
    return np.array(knots)


def _unit(vector: Vectors) -> Vectors:
    return vector / np.linalg.norm(vector)
