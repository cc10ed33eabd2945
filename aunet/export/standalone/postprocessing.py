"""The steps after the network on a label map in the axis order of its file, with SciPy; see ``processing.json``."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
# Parts that touch at a face, an edge or a corner are connected.
_TOUCHING = np.ones((3, 3, 3))


class Step(TypedDict):
    """A step on one class.

    Keys:
        step: "largest_component" keeps the largest part, "minimum_volume" removes parts smaller than ``least_ml``,
            "hole_filling" fills enclosed background.
        class_name: of the class; None for each in turn.
        least_ml: for "minimum_volume".
    """

    step: str
    class_name: str | None
    least_ml: float | None


def postprocess(
    label: NDArray[np.uint8], steps: Sequence[Step], class_names: Sequence[str], voxel_ml: float
) -> NDArray[np.uint8]:
    """Return a label map (H, W, D) after all ``steps``; ``class_names`` begin with the background."""
    changed = label.copy()
    for step in steps:
        for index, name in enumerate(class_names):
            if index and step["class_name"] in (None, name) and (changed == index).any():
                mask = changed == index
                kept = _change(mask, changed == 0, step, voxel_ml)
                changed[mask & ~kept] = 0
                changed[kept] = index
    return changed


def _change(mask: Mask, is_free: Mask, step: Step, voxel_ml: float) -> Mask:
    if step["step"] == "hole_filling":
        flat = mask[..., 0] if mask.shape[2] == 1 else mask
        filled: Mask = np.asarray(ndimage.binary_fill_holes(flat), dtype=np.bool_)
        return mask | (filled.reshape(mask.shape) & is_free)
    parts = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=_TOUCHING, output=parts)
    sizes = np.bincount(parts.ravel())
    if step["step"] == "largest_component":
        return parts == 1 + int(np.argmax(sizes[1:]))
    return mask & (sizes[parts] * voxel_ml >= (step["least_ml"] or 0.0))
