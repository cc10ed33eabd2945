"""A patient's abdomen as a volume of tissues, drawn from a seed.

Organs are laid in from the rigid to the soft: trunk and bones, vessels, the organs with a volume of their own, then the
gut, which takes the room that is left, as it does in people. Volumes and places follow expert outlines of abdominal CT.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aunet.data.sources.phantom.canvas import Canvas
from aunet.data.sources.phantom.gut import paint_colon, paint_duodenum, paint_small_bowel, paint_stomach
from aunet.data.sources.phantom.habitus import draw_habitus
from aunet.data.sources.phantom.organs import (
    draw_pancreas_knots,
    paint_gallbladder,
    paint_kidney,
    paint_liver,
    paint_pancreas,
    paint_spleen,
)
from aunet.data.sources.phantom.skeleton import paint_skeleton
from aunet.data.sources.phantom.space import FIELD_CORNER, draw_space
from aunet.data.sources.phantom.trunk import paint_chest, paint_trunk
from aunet.data.sources.phantom.vessels import (
    paint_adrenals,
    paint_great_vessels,
    paint_liver_vessels,
    paint_mesenteric_vessels,
    paint_renal_vessels,
    paint_splenic_vein,
)

_HEAD = slice(0, 3)
"""Knots of the pancreas that the duodenum embraces."""

_MIDDLE_HEAD = np.array((25.7, 52.3, -6.7))


@dataclass(frozen=True)
class Anatomy:
    """Tissue of each voxel (H, W, D) uint8 (values of ``Tissue``) and the affine (4, 4) from voxel to RAS+ mm."""

    tissue: NDArray[np.uint8]
    affine: NDArray[np.float64]


def draw_anatomy(generator: np.random.Generator, spacing: tuple[float, float, float]) -> Anatomy:
    """Draw one patient on voxels of ``spacing`` mm."""
    space = draw_space(generator, spacing)
    habitus = draw_habitus(generator)
    canvas = Canvas(space)
    cavity = paint_trunk(canvas, habitus)
    paint_chest(canvas, habitus, cavity)
    paint_skeleton(canvas, habitus, cavity)
    _paint_retroperitoneum(canvas, generator, habitus.fat_plane)
    _paint_peritoneum(canvas, generator, habitus.fat_plane)
    affine = np.diag((*spacing, 1.0))
    affine[:3, 3] = np.add(FIELD_CORNER, np.divide(spacing, 2))
    return Anatomy(canvas.tissue, affine)


def _paint_retroperitoneum(canvas: Canvas, generator: np.random.Generator, fat_plane: float) -> None:
    """Paint the organs behind: great vessels, kidneys with their vessels, adrenals and spleen."""
    paint_great_vessels(canvas, generator)
    for side in (1.0, -1.0):
        hilum = paint_kidney(canvas, generator, side, fat_plane)
        paint_renal_vessels(canvas, side, hilum)
    paint_adrenals(canvas)
    paint_spleen(canvas, generator, fat_plane)


def _paint_peritoneum(canvas: Canvas, generator: np.random.Generator, fat_plane: float) -> None:
    """Paint the organs in front: pancreas first, as the gut has to give way to it."""
    knots = draw_pancreas_knots(generator)
    paint_splenic_vein(canvas, knots)
    paint_pancreas(canvas, generator, knots, fat_plane)
    paint_stomach(canvas, generator, knots)
    paint_duodenum(canvas, generator, knots[_HEAD].mean(axis=0) - _MIDDLE_HEAD)
    paint_liver(canvas, generator, fat_plane)
    paint_liver_vessels(canvas, generator)
    paint_gallbladder(canvas, generator)
    paint_colon(canvas, generator)
    paint_mesenteric_vessels(canvas, generator)
    paint_small_bowel(canvas, generator)
