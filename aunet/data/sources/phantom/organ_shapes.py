"""Organs as an expert outlined them: read from a label map, turned upright, and placed in the phantom's coordinates."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.data.io.volume import Volume, read_label
from aunet.data.organ_positions import (
    AXIS_WORDS,
    LARGEST_VALUE,
    boxes_of_values,
    center_of_value,
    flips_upright,
    placed,
)
from aunet.data.sources.phantom.shapes import Vectors
from aunet.data.sources.phantom.tissues import Tissue
from aunet.errors import UserError

ORGANS: Mapping[str, Tissue] = {
    "spleen": Tissue.SPLEEN,
    "pancreas": Tissue.PANCREAS,
    "kidney": Tissue.KIDNEY_CORTEX,
    "left_kidney": Tissue.KIDNEY_CORTEX,
    "right_kidney": Tissue.KIDNEY_CORTEX,
    "gallbladder": Tissue.GALLBLADDER,
    "oesophagus": Tissue.STOMACH_WALL,
    "liver": Tissue.LIVER,
    "stomach": Tissue.STOMACH_WALL,
    "duodenum": Tissue.BOWEL_WALL,
}
"""The tissue of each organ that the phantom can take from a label map."""


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
        table = np.zeros(LARGEST_VALUE + 1, dtype=np.uint8)
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
    scale, shift, _ = placed(turned)
    return OrganShapes(label.array, affine, dict(organ_of_value), scale, shift, _remark(path, flips))


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
