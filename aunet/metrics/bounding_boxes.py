"""Bounding boxes of the classes in a label map, apart from scores and tables, whose libraries a prediction skips."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Box = tuple[slice, ...]
"""Slices of one box in the array, an axis each."""


def class_boxes(label_map: NDArray[np.integer], highest: int = 0) -> dict[int, Box]:
    """Return the bounding box of each positive value in ``label_map``, up to ``highest`` (0: up to its maximum)."""
    # SciPy walks in C order, which is seven times slower for the Fortran order of NIfTI voxels.
    is_reversed = not label_map.flags.c_contiguous
    found = ndimage.find_objects(label_map.T if is_reversed else label_map, max_label=highest)
    boxes = {value: box for value, box in enumerate(found, start=1) if box is not None}
    return {value: box[::-1] if is_reversed else box for value, box in boxes.items()}


def boxes_of_classes(label_map: NDArray[np.integer], classes: Sequence[Sequence[int]]) -> list[Box | None]:
    """Return the bounding box of the voxels of each class, given its values; None for one without voxels."""
    of_value = class_boxes(label_map, max((value for values in classes for value in values), default=1))
    found = [[of_value[value] for value in values if value in of_value] for values in classes]
    return [_enclosing(boxes) if boxes else None for boxes in found]


def _enclosing(boxes: Sequence[Box]) -> Box:
    axes = zip(*boxes, strict=True)
    return tuple(slice(min(side.start for side in axis), max(side.stop for side in axis)) for axis in axes)


def joint_box(first: Box | None, second: Box | None, shape: Sequence[int]) -> Box:
    """Return the box of both, grown by a voxel within the scan, so that masks reach its edge only at the scan's."""
    if (found := first or second) is None:
        return (slice(0, 0),) * len(shape)
    pairs = zip(first or found, second or found, shape, strict=True)
    return tuple(slice(max(min(a.start, b.start) - 1, 0), min(max(a.stop, b.stop) + 1, end)) for a, b, end in pairs)
