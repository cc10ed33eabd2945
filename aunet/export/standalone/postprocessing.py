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
    label: NDArray[np.uint8],
    steps: Sequence[Step],
    class_names: Sequence[str],
    voxel_ml: float,
    regions: Sequence[Sequence[int]] = (),
) -> NDArray[np.uint8]:
    """Return a label map (H, W, D) after all ``steps``; ``class_names`` begin with the background.

    ``regions`` lists the values that make up each class after the background, if classes are regions that overlap.
    """
    changed = label.copy()
    regions = regions or [[index] for index in range(1, len(class_names))]
    for step in steps:
        for index, (name, values) in enumerate(zip(class_names[1:], regions, strict=True), start=1):
            mask = np.isin(changed, values)
            if step["class_name"] in (None, name) and mask.any():
                kept = _change(mask, np.isin(changed, _values_around(index, regions)), step, voxel_ml)
                removed = mask & ~kept
                changed[removed] = _values_without(index, regions)[changed[removed]]
                changed[kept & ~mask] = index
    return changed


def _regions_with(value: int, regions: Sequence[Sequence[int]]) -> set[int]:
    return {number for number, values in enumerate(regions, start=1) if value in values}


def _values_around(index: int, regions: Sequence[Sequence[int]]) -> list[int]:
    """Return the values of voxels that may join region ``index``: the background, and regions around it."""
    around = _regions_with(index, regions)
    return [value for value in range(len(regions) + 1) if _regions_with(value, regions) < around]


def _values_without(index: int, regions: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """Return what each value becomes once its voxel leaves region ``index`` and those inside that region."""
    inside = {number for number, of in enumerate(regions, start=1) if set(of) <= set(regions[index - 1])}
    left = [_regions_with(value, regions) - inside for value in range(len(regions) + 1)]
    return np.array([max(numbers, default=0) for numbers in left], np.uint8)


def _change(mask: Mask, is_free: Mask, step: Step, voxel_ml: float) -> Mask:
    if step["step"] == "hole_filling":
        # Along an axis of one voxel every hole would be open.
        filled: Mask = np.asarray(ndimage.binary_fill_holes(mask.squeeze()), dtype=np.bool_)
        return mask | (filled.reshape(mask.shape) & is_free)
    parts = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=_TOUCHING, output=parts)
    sizes = np.bincount(parts.ravel())
    if step["step"] == "largest_component":
        return parts == 1 + int(np.argmax(sizes[1:]))
    return mask & (sizes[parts] * voxel_ml >= (step["least_ml"] or 0.0))
