"""A patient's abdomen around organs that were outlined in a real patient.

Trunk, bones and chest are fitted to the organs, which are painted over them voxel for voxel. Vessels, adrenals, colon
and small bowel, which the label map does not name, are drawn into the fat that is left.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.sources.phantom.anatomy import Anatomy
from aunet.data.sources.phantom.canvas import FREE, Canvas, Mask, depth_below_surface
from aunet.data.sources.phantom.gut import paint_colon, paint_small_bowel
from aunet.data.sources.phantom.habitus import Habitus, draw_habitus
from aunet.data.sources.phantom.organ_shapes import ORGANS, OrganShapes
from aunet.data.sources.phantom.organs import paint_medulla
from aunet.data.sources.phantom.skeleton import paint_skeleton
from aunet.data.sources.phantom.space import FIELD_CORNER, Array, Box, bent_space, voxel_positions
from aunet.data.sources.phantom.tissues import Tissue
from aunet.data.sources.phantom.trunk import EVERYWHERE, cavity_field, fill_chest, paint_trunk
from aunet.data.sources.phantom.vessels import (
    paint_adrenals,
    paint_great_vessels,
    paint_liver_vessels,
    paint_mesenteric_vessels,
)

_ROOM = 3.0
"""Least distance (mm) of an organ from the wall of the cavity."""

_FIT_ROUNDS = 30
_UNDER_THE_DIAPHRAGM = ("liver", "spleen", "stomach")
_HOLLOW = {"stomach": (4.5, Tissue.STOMACH_CONTENT), "duodenum": (3.0, Tissue.BOWEL_CONTENT)}
"""Thickness (mm) of the wall, and what is in it."""


def draw_fitted_anatomy(
    generator: np.random.Generator, shapes: OrganShapes, spacing: tuple[float, float, float], factor: int
) -> Anatomy:
    """Draw the surroundings of ``shapes`` on voxels of ``spacing`` mm, in the planes that the label map covers.

    The number of planes is a multiple of ``factor``.
    """
    space = bent_space(generator, spacing, shapes.scale, np.zeros(3))
    axes = [axis + offset for axis, offset in zip(voxel_positions(spacing), shapes.shift, strict=True)]
    organs = shapes.sampled(axes)
    canvas = Canvas(space)
    is_below = np.isin(organs, [_number(name) for name in _UNDER_THE_DIAPHRAGM])
    habitus = _fitted_habitus(draw_habitus(generator), space.points, organs > 0, is_below)
    cavity = paint_trunk(canvas, habitus)
    if is_below.any():
        height = space.points[2] - _diaphragm(is_below, space.points[2], spacing)
        chest = canvas.is_any(EVERYWHERE, FREE)
        fill_chest(canvas, habitus, chest, height[chest], cavity)
    paint_skeleton(canvas, habitus, cavity)
    _paint_organs(canvas, generator, organs, habitus.fat_plane)
    _paint_rest(canvas, generator)
    planes = _covered(axes[2], shapes.heights, factor)
    affine = np.diag((*spacing, 1.0))
    affine[:3, 3] = np.add(FIELD_CORNER, np.divide(spacing, 2)) + shapes.shift
    affine[2, 3] = axes[2][planes.start]
    return Anatomy(canvas.tissue[:, :, planes], affine)


def _number(name: str) -> int:
    return list(ORGANS).index(name) + 1


def _fitted_habitus(habitus: Habitus, points: Array, is_organ: Mask, is_below_diaphragm: Mask) -> Habitus:
    """Widen the build until the cavity holds the organs, with its dome above them."""
    inside = points[:, is_organ][:, ::7, None, None]
    tops = points[2][is_below_diaphragm]
    if tops.size:
        habitus = replace(habitus, dome=float(tops.max()))
    for _ in range(_FIT_ROUNDS):
        is_out = cavity_field(inside, habitus).values[:, 0, 0] < _ROOM
        if is_out.mean() < 1e-3:
            break
        x, y = np.abs(inside[0, is_out, 0, 0]), inside[1, is_out, 0, 0] - habitus.middle
        habitus = replace(
            habitus,
            half_width=habitus.half_width + 2 * float((x > 0.5 * habitus.half_width).any()),
            front=habitus.front + 2 * float((y > 20).any()),
            back=habitus.back - 1.5 * float((y < -20).any()),
        )
    return habitus


def _diaphragm(is_below: Mask, z: Array, spacing: tuple[float, float, float]) -> Array:
    """Return the height (H, W, 1) in mm of the diaphragm: just over the organs' tops, elsewhere as at the nearest."""
    tops = np.where(is_below, z, -np.inf).max(axis=2)
    is_known = np.isfinite(tops)
    nearest = ndimage.distance_transform_edt(
        ~is_known, sampling=spacing[:2], return_distances=False, return_indices=True
    )
    filled = tops[tuple(np.asarray(nearest))]
    smooth = ndimage.gaussian_filter(filled, [10 / step for step in spacing[:2]])
    return (np.where(is_known, np.maximum(smooth, filled), smooth) + 2)[..., None].astype(np.float32)


def _paint_organs(canvas: Canvas, generator: np.random.Generator, organs: NDArray[np.uint8], fat_plane: float) -> None:
    """Paint every organ where its label map has it, over any tissue, with a plane of fat around them all."""
    is_near = depth_below_surface(organs == 0, canvas.space.spacing) < fat_plane
    canvas.tissue[is_near & canvas.is_any(EVERYWHERE, FREE)] = Tissue.FAT_PLANE
    for name, tissue in ORGANS.items():
        box = _box(organs, _number(name))
        if box is None:
            continue
        mask = organs[box] == _number(name)
        canvas.tissue[box][mask] = tissue
        if tissue == Tissue.KIDNEY_CORTEX:
            for piece in _sides(mask):
                paint_medulla(canvas, box, piece, canvas.space.points_in(box)[:, piece].mean(axis=1, dtype=np.float64))
        if name in _HOLLOW:
            _fill(canvas, generator, box, mask, *_HOLLOW[name])


def _box(organs: NDArray[np.uint8], number: int) -> Box | None:
    found = ndimage.find_objects((organs == number).astype(np.uint8))
    return found[0] if found else None


def _sides(mask: Mask) -> list[Mask]:
    """Return the connected pieces of a mask without crumbs: the left and the right kidney."""
    pieces = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=pieces)
    sizes = np.bincount(pieces.ravel())
    return [pieces == piece for piece in range(1, len(sizes)) if sizes[piece] > 0.1 * mask.sum()]


def _fill(
    canvas: Canvas, generator: np.random.Generator, box: Box, mask: Mask, thickness: float, content: Tissue
) -> None:
    """Paint content inside the wall, and gas in front of a plane: in none to half of the lumen."""
    is_lumen = depth_below_surface(mask, canvas.space.spacing) > thickness
    front = canvas.space.points_in(box)[1]
    canvas.tissue[box][is_lumen] = content
    if is_lumen.any():
        level = np.quantile(front[is_lumen], generator.uniform(0.5, 1.0))
        canvas.tissue[box][is_lumen & (front > level)] = Tissue.GAS


def _paint_rest(canvas: Canvas, generator: np.random.Generator) -> None:
    paint_great_vessels(canvas, generator)
    paint_adrenals(canvas)
    paint_liver_vessels(canvas, generator)
    paint_colon(canvas, generator)
    paint_mesenteric_vessels(canvas, generator)
    paint_small_bowel(canvas, generator)


def _covered(heights: NDArray[np.float64], covered: tuple[float, float], factor: int) -> slice:
    """Return the planes whose whole group of ``factor`` lies within the label map; all planes if none does."""
    whole = heights[: len(heights) // factor * factor]
    is_covered = ((whole > covered[0]) & (whole < covered[1])).reshape(-1, factor).all(axis=1)
    groups = np.flatnonzero(is_covered)
    if not groups.size:
        return slice(0, len(whole))
    return slice(int(groups[0]) * factor, (int(groups[-1]) + 1) * factor)
