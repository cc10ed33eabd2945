"""Where the organs of a label map lie, and whether the patient stands upright in it."""

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.io.volume import Volume
from aunet.errors import UserError

Vectors = NDArray[np.float64]
Centers = Mapping[str, Vectors]

MIDDLES: Mapping[str, tuple[float, float, float] | None] = {
    "spleen": (-99, -2, 55),
    "pancreas": (-16, 54, 21),
    "kidney": None,
    "left_kidney": (-67, -9, 3),
    "right_kidney": (67, -9, -9),
    "gallbladder": (71, 81, 17),
    "oesophagus": (-13, 36, 100),
    "liver": (74, 56, 57),
    "stomach": (-43, 76, 55),
    "duodenum": (11, 53, -3),
}
"""Centre of each organ in a patient of middle size (mm, as ``phantom.space``), if known.

Means of the middles in nine expert outlines, the left kidney laid where the phantom has its own.
"""

LARGEST_VALUE = 2**16 - 1
_SCALES = 0.8, 1.25
_FEWEST_TO_TURN, _CLEARLY_BETTER = 4, 0.6
AXIS_WORDS = ("left and right", "front and back", "head and feet")


def boxes_of_values(label: Volume) -> dict[int, tuple[slice, ...]]:
    """Return the bounding box of each value above 0, walking voxels in memory order, which is seven times faster."""
    lowest, highest = int(label.array.min()), int(label.array.max())
    if lowest < 0 or highest > LARGEST_VALUE:
        raise UserError(f"{label.name}: holds values from {lowest} to {highest}; a label map has 0 to {LARGEST_VALUE}.")
    boxes = enumerate(ndimage.find_objects(label.array.T.astype(np.uint16, copy=False)), start=1)
    return {value: box[::-1] for value, box in boxes if box is not None}


def center_of_value(label: Volume, value: int, box: tuple[slice, ...]) -> Vectors:
    """Return the centre (3,) in RAS+ mm of the voxels of a value."""
    mask = label.array[box] == value
    sums = [mask.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    voxel = [part.start + np.average(np.arange(len(n)), weights=n) for part, n in zip(box, sums, strict=True)]
    return label.affine[:3, :3] @ np.array(voxel) + label.affine[:3, 3]


def placed(centers: Centers) -> tuple[float, Vectors, float]:
    """Return scale and shift (3,) that best bring the phantom's centres to those found, and the error (mm, r.m.s.)."""
    pairs = [(middle, center) for name, center in centers.items() if (middle := MIDDLES[name])]
    if not pairs:
        return 1.0, np.mean(list(centers.values()), axis=0) - (0.0, 30.0, 20.0), 0.0
    ours, theirs = (np.array(points, dtype=np.float64) for points in zip(*pairs, strict=True))
    ours_from_mean, theirs_from_mean = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    spread = float(np.square(ours_from_mean).sum())
    scale = float(np.clip((ours_from_mean * theirs_from_mean).sum() / spread, *_SCALES)) if spread else 1.0
    shift = theirs.mean(axis=0) - scale * ours.mean(axis=0)
    return scale, shift, float(np.sqrt(np.square(scale * ours + shift - theirs).mean()))


def flips_upright(centers: Centers) -> Vectors:
    """Return 1 or -1 for each axis (3,) as the organs decide: headers of public label maps exchange head and feet."""
    upright = np.ones(3)
    if sum(MIDDLES[name] is not None for name in centers) < _FEWEST_TO_TURN:
        return upright
    choices = [np.array(flips) for flips in itertools.product((1.0, -1.0), repeat=3)]
    errors = [placed({name: flips * center for name, center in centers.items()})[2] for flips in choices]
    best = int(np.argmin(errors))
    return choices[best] if errors[best] < _CLEARLY_BETTER * errors[0] else upright
