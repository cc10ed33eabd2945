"""Spine with its canal and processes, ribs with their cartilage."""

import numpy as np

from aunet.data.sources.phantom.canvas import Canvas, Mask
from aunet.data.sources.phantom.habitus import Habitus
from aunet.data.sources.phantom.shapes import Field
from aunet.data.sources.phantom.space import Array
from aunet.data.sources.phantom.tissues import Tissue
from aunet.data.sources.phantom.trunk import EVERYWHERE

VERTEBRA_HEIGHT = 34.0
DISC_HEIGHT = 8.0
RIB_STEP, RIB_HEIGHT, RIB_THICKNESS = 33.0, 12.0, 7.2
_CARTILAGE_FROM = 2.3
"""Angle (radians) round the chest from the spine."""

SHELL = 2.2
"""Thickness (mm) of cortical bone."""

_SPINE = np.array((-43.0, -69.0, -250.0)), np.array((43.0, 17.0, 250.0))


def paint_skeleton(canvas: Canvas, habitus: Habitus, cavity: Field) -> None:
    """Paint bones over whatever is there."""
    _paint_ribs(canvas, habitus, cavity)
    _paint_vertebrae(canvas)


def _paint_vertebrae(canvas: Canvas) -> None:
    box = canvas.space.box(*_SPINE, margin=3.0)
    bones = _may_be_vertebra(*canvas.space.points_in(box)[:2])
    x, y, z = (axis[bones] for axis in canvas.space.points_in(box))
    level = np.abs((z + VERTEBRA_HEIGHT / 2) % VERTEBRA_HEIGHT - VERTEBRA_HEIGHT / 2)
    body = _capped(_ellipse(x, y + 1, 22.5, 16.5), (VERTEBRA_HEIGHT - DISC_HEIGHT) / 2 - level)
    disc = _ellipse(x, y + 1, 21.5, 15.5)
    hole = _ellipse(x, y + 23, 10.5, 8.5)
    arch = _capped(np.minimum(_ellipse(x, y + 26, 19, 16), -hole), 14 - level)
    canal = np.minimum(hole, -disc)
    spine = _capped(np.minimum(3.4 - np.abs(x), np.minimum(-36 - y, y + 68)), 9 - level)
    transverse = _capped(np.minimum(4.5 - np.abs(y + 25 + np.abs(x) * 0.12), 42 - np.abs(x)), 5 - level)
    transverse = np.minimum(transverse, np.abs(x) - 14)
    tissue = canvas.tissue[box][bones]
    tissue[disc > 0] = Tissue.CARTILAGE
    for bone in (body, arch, spine, transverse):
        tissue[bone > 0] = Tissue.CORTICAL_BONE
    for bone in (body, arch, transverse):
        tissue[bone > SHELL] = Tissue.SPONGY_BONE
    tissue[canal > 0] = Tissue.SPINAL_CANAL
    canvas.tissue[box][bones] = tissue


def _may_be_vertebra(x: Array, y: Array) -> Mask:
    """Return which columns (H, W, D) may hold a body, an arch or a spine, or a transverse process."""
    right = np.abs(x)
    return ((right < 23) & (y > -69) & (y < 17)) | ((right < 43) & (y > -36) & (y < -19))


def _paint_ribs(canvas: Canvas, habitus: Habitus, cavity: Field) -> None:
    """Paint bars in the chest wall that fall from the spine to the flank, turn into cartilage in front and rise."""
    over = (Tissue.MUSCLE, Tissue.SUBCUTANEOUS_FAT, Tissue.VISCERAL_FAT)
    off_middle = np.abs(cavity.values + habitus.wall * 0.45)
    wall = (off_middle < RIB_THICKNESS / 2) & canvas.is_any(EVERYWHERE, over)
    x, y, z = (axis[wall] for axis in canvas.space.points)
    angle = np.arctan2(np.abs(x), habitus.middle - y)
    rib = np.minimum(RIB_THICKNESS / 2 - off_middle[wall], _depth_in_bar(angle, z))
    tissue = np.where(rib > SHELL, Tissue.SPONGY_BONE, Tissue.CORTICAL_BONE)
    tissue[angle > _CARTILAGE_FROM] = Tissue.CARTILAGE
    canvas.tissue[wall] = np.where(rib > 0, tissue, canvas.tissue[wall])


def _depth_in_bar(angle: Array, z: Array) -> Array:
    """Return the depth (mm) in the nearest rib at a height (mm) and an ``angle`` (radians) from spine to front."""
    height = z + np.where(angle < 1.9, 42 * angle, 42 * 1.9 - 30 * (angle - 1.9))
    lowest = 62 + 40 * np.clip(angle - 1.5, 0, None)
    bar = RIB_HEIGHT / 2 - np.abs(height % RIB_STEP - RIB_STEP / 2)
    ends = 12 * np.minimum(angle - 0.25, 2.75 - angle)
    return np.minimum(np.minimum(bar, ends), height - lowest)


def _ellipse(x: Array, y: Array, half_width: float, half_depth: float) -> Array:
    """Return the depth (mm) in an ellipse in every axial plane."""
    level = np.sqrt(np.square(x / half_width) + np.square(y / half_depth))
    return (min(half_width, half_depth) * (1 - level)).astype(np.float32)


def _capped(field: Array, distance: Array) -> Array:
    return np.minimum(field, distance.astype(np.float32))
