"""Organs as an expert outlined them: read from a label map, turned upright, and placed in the phantom's coordinates."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.data.io.volume import Volume, read_label
from aunet.data.sources.phantom.shapes import Vectors
from aunet.data.sources.phantom.tissues import Tissue
from aunet.errors import UserError

Centers = Mapping[str, Vectors]


@dataclass(frozen=True)
class Organ:
    """The tissue of an organ, and its centre in a patient of middle size (mm, as ``space``), if known."""

    tissue: Tissue
    middle: tuple[float, float, float] | None


ORGANS: Mapping[str, Organ] = {
    "spleen": Organ(Tissue.SPLEEN, (-99, -2, 55)),
    "pancreas": Organ(Tissue.PANCREAS, (-16, 54, 21)),
    "kidney": Organ(Tissue.KIDNEY_CORTEX, None),
    "left_kidney": Organ(Tissue.KIDNEY_CORTEX, (-67, -9, 3)),
    "right_kidney": Organ(Tissue.KIDNEY_CORTEX, (67, -9, -9)),
    "gallbladder": Organ(Tissue.GALLBLADDER, (71, 81, 17)),
    "oesophagus": Organ(Tissue.STOMACH_WALL, (-13, 36, 100)),
    "liver": Organ(Tissue.LIVER, (74, 56, 57)),
    "stomach": Organ(Tissue.STOMACH_WALL, (-43, 76, 55)),
    "duodenum": Organ(Tissue.BOWEL_WALL, (11, 53, -3)),
}
"""Means of the middles in nine expert outlines, the left kidney laid where the phantom has its own."""

_LARGEST_VALUE = 2**16 - 1
_SCALES = 0.8, 1.25
_FEWEST_TO_TURN, _CLEARLY_BETTER = 4, 0.6
AXIS_WORDS = ("left and right", "front and back", "head and feet")


@dataclass(frozen=True)
class OrganShapes:
    """A label map (h, w, d) whose values are organs, and its place in the patient.

    ``affine`` takes its voxels to RAS+ mm, turned upright; a point p of the patient (``space``) lies at
    ``scale * p + shift`` mm. ``remark`` reports a correction, empty if there was none.
    """

    values: NDArray[np.integer]
    affine: NDArray[np.float64]
    organ_of_value: Mapping[int, str]
    scale: float
    shift: Vectors
    remark: str

    def sampled(self, axes: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
        """Return the index in ``ORGANS`` plus 1 of the voxel nearest to each point of a grid, 0 for none.

        ``axes`` are the grid's positions along each axis in RAS+ mm.
        """
        table = np.zeros(_LARGEST_VALUE + 1, dtype=np.uint8)
        for value, name in self.organ_of_value.items():
            table[value] = list(ORGANS).index(name) + 1
        inverse = np.linalg.inv(self.affine).astype(np.float64)
        planes = [self._plane(inverse, axes[0], axes[1], height, table) for height in axes[2]]
        return np.stack(planes, axis=2)

    def _plane(
        self, inverse: Vectors, x: Vectors, y: Vectors, height: float, table: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        offset = inverse[:3, 2] * height + inverse[:3, 3]
        voxel = inverse[:3, 0, None, None] * x[:, None] + inverse[:3, 1, None, None] * y + offset[:, None, None]
        nearest = np.rint(voxel).astype(np.int32)
        size = np.array(self.values.shape)[:, None, None]
        is_inside = ((nearest >= 0) & (nearest < size)).all(axis=0)
        plane = np.zeros(is_inside.shape, dtype=np.uint8)
        i, j, k = nearest[:, is_inside]
        plane[is_inside] = table[self.values[i, j, k]]
        return plane

    @property
    def heights(self) -> tuple[float, float]:
        """Return the lowest and highest z (RAS+ mm) that the label map covers."""
        corners = np.array(
            [(*corner, 1) for corner in itertools.product(*((-0.5, n - 0.5) for n in self.values.shape))]
        )
        heights = corners @ self.affine[2]
        return float(heights.min()), float(heights.max())


def read_organ_shapes(path: Path, organ_of_value: Mapping[int, str], *, is_other_ignored: bool) -> OrganShapes:
    """Read one label map; raise UserError if it has no organ, or if a value without a name is not ignored."""
    label = read_label(path)
    boxes = boxes_of_values(label)
    unknown = sorted(boxes.keys() - organ_of_value.keys())
    if unknown and not is_other_ignored:
        raise UserError(
            f"{path}: has values {unknown[:8]} that data.phantom.organs={dict(organ_of_value)} does not name. Name them"
            " after an organ, or leave them out with data.other_labels=background."
        )
    found = {value: name for value, name in organ_of_value.items() if value in boxes}
    if not found:
        raise UserError(
            f"{path}: has none of the values of data.phantom.organs={dict(organ_of_value)}. Is it a label map?"
        )
    centers = {name: center_of_value(label, value, boxes[value]) for value, name in found.items()}
    flips = flips_upright(centers)
    affine = label.affine @ _flip_matrix(label, flips)
    middle = _middle_of(label)
    turned = {name: middle + flips * (center - middle) for name, center in centers.items()}
    scale, shift, _ = _placed(turned)
    return OrganShapes(label.array, affine, dict(organ_of_value), scale, shift, _remark(path, flips))


def boxes_of_values(label: Volume) -> dict[int, tuple[slice, ...]]:
    """Return the bounding box of each value above 0, walking voxels in memory order, which is seven times faster."""
    lowest, highest = int(label.array.min()), int(label.array.max())
    if lowest < 0 or highest > _LARGEST_VALUE:
        raise UserError(
            f"{label.name}: holds values from {lowest} to {highest}; a label map has 0 to {_LARGEST_VALUE}."
        )
    boxes = enumerate(ndimage.find_objects(label.array.T.astype(np.uint16, copy=False)), start=1)
    return {value: box[::-1] for value, box in boxes if box is not None}


def center_of_value(label: Volume, value: int, box: tuple[slice, ...]) -> Vectors:
    """Return the centre (3,) in RAS+ mm of the voxels of a value."""
    mask = label.array[box] == value
    sums = [mask.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    voxel = [part.start + np.average(np.arange(len(n)), weights=n) for part, n in zip(box, sums, strict=True)]
    return label.affine[:3, :3] @ np.array(voxel) + label.affine[:3, 3]


def _placed(centers: Centers) -> tuple[float, Vectors, float]:
    """Return scale and shift (3,) that best bring the phantom's centres to those found, and the error (mm, r.m.s.)."""
    pairs = [(middle, center) for name, center in centers.items() if (middle := ORGANS[name].middle)]
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
    if sum(ORGANS[name].middle is not None for name in centers) < _FEWEST_TO_TURN:
        return upright
    choices = [np.array(flips) for flips in itertools.product((1.0, -1.0), repeat=3)]
    errors = [_placed({name: flips * center for name, center in centers.items()})[2] for flips in choices]
    best = int(np.argmin(errors))
    return choices[best] if errors[best] < _CLEARLY_BETTER * errors[0] else upright


def _flip_matrix(label: Volume, flips: Vectors) -> NDArray[np.float64]:
    """Return voxel -> voxel of the mirrored map (4, 4): each voxel axis along a flipped world axis is reversed."""
    matrix = np.eye(4)
    world_axes = np.abs(label.affine[:3, :3]).argmax(axis=0)
    for axis, size in enumerate(label.shape):
        if flips[world_axes[axis]] < 0:
            matrix[axis, axis], matrix[axis, 3] = -1, size - 1
    return matrix


def _middle_of(label: Volume) -> Vectors:
    return label.affine[:3, :3] @ ((np.array(label.shape) - 1) / 2) + label.affine[:3, 3]


def _remark(path: Path, flips: Vectors) -> str:
    words = [word for word, flip in zip(AXIS_WORDS, flips, strict=True) if flip < 0]
    told = " and ".join(words)
    return f"{path}: by its header {told} are exchanged; its organs say so, and it was turned." if words else ""
