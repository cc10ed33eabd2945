"""Steps of post-processing: largest component, minimum volume and hole filling, for one class or each.

Parts of a class that touch at a face, an edge or a corner are connected. Voxels that a step removes are background. Of
regions that overlap, a removed voxel leaves the region and those inside it, and stays in the regions around it; a voxel
that fills a hole joins the region and is in those around it too.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from aunet.classes import Labels
from aunet.errors import UserError
from aunet.inference.prediction import Prediction, count_values
from aunet.messages import did_you_mean
from aunet.metrics.bounding_boxes import Box, boxes_of_classes

Mask = NDArray[np.bool_]
_TOUCHING = np.ones((3, 3, 3))


class MaskStep(ABC):
    """A step that changes the mask of a class within its bounding box.

    Args:
        class_name: of the class; None for each.
    """

    def __init__(self, class_name: str | None = None) -> None:
        self.class_name = class_name

    def __call__(self, prediction: Prediction) -> NDArray[np.uint8]:
        """Return the label map (H, W, D) with the mask of the class changed."""
        label, labels = prediction.label.copy(), prediction.labels
        voxel_ml = abs(float(np.linalg.det(prediction.affine[:3, :3]))) / 1000
        boxes = mask_boxes(label, labels)
        for index in self._classes(prediction):
            if index in boxes:
                part = label[boxes[index]]
                changed = self.change(labels.mask(part, index), free_for(part, labels, index), voxel_ml)
                change_mask(part, labels, index, changed)
        return label

    @abstractmethod
    def change(self, mask: Mask, is_free: Mask, voxel_ml: float) -> Mask:
        """Return the new mask of a class: some of ``mask``, or more of what ``is_free``, both in its ``mask_boxes``."""

    def _classes(self, prediction: Prediction) -> Iterator[int]:
        names = {name: index for index, name in prediction.labels.foreground}
        if self.class_name is None:
            yield from names.values()
        elif self.class_name in names:
            yield names[self.class_name]
        else:
            raise UserError(
                f"inference.postprocessing: class_name={self.class_name} is not one of"
                f" {', '.join(names)}.{did_you_mean(self.class_name, names)}"
            )


class LargestComponent(MaskStep):
    """The step that keeps the largest connected part of a class."""

    def change(self, mask: Mask, is_free: Mask, voxel_ml: float) -> Mask:
        """Return the largest part of ``mask``, the first of equally large ones."""
        parts, sizes = _parts(mask)
        return parts == 1 + int(np.argmax(sizes[1:])) if len(sizes) > 2 else mask


class MinimumVolume(MaskStep):
    """The step that removes the connected parts of a class that are smaller than ``least_ml`` (ml)."""

    def __init__(self, class_name: str | None = None, least_ml: float = 1.0) -> None:
        super().__init__(class_name)
        self.least_ml = least_ml

    def change(self, mask: Mask, is_free: Mask, voxel_ml: float) -> Mask:
        """Return the parts of ``mask`` that are large enough."""
        parts, sizes = _parts(mask)
        return mask & (sizes * voxel_ml >= self.least_ml)[parts]


class HoleFilling(MaskStep):
    """The step that fills background which a class encloses on all sides; other classes in it stay."""

    def change(self, mask: Mask, is_free: Mask, voxel_ml: float) -> Mask:
        """Return ``mask`` with its holes; those of a picture or a single slice are found within its plane."""
        # Along an axis of one voxel every hole would be open.
        filled: Mask = np.asarray(ndimage.binary_fill_holes(mask.squeeze()), dtype=np.bool_)
        return mask | (filled.reshape(mask.shape) & is_free)


def free_for(label: NDArray[np.uint8], labels: Labels, index: int) -> Mask:
    """Return the voxels that may join class ``index``: background, and of a region what lies in those around it."""
    return np.isin(label, labels.values_around(index))


def change_mask(label: NDArray[np.uint8], labels: Labels, index: int, changed: Mask) -> None:
    """Make ``changed`` the mask of class ``index`` in a label map, in place; see the module."""
    mask = labels.mask(label, index)
    removed = mask & ~changed
    values = np.array([labels.value_without(value, index) for value in range(labels.num_classes)], np.uint8)
    label[removed] = values[label[removed]]
    label[changed & ~mask] = index


def mask_boxes(label: NDArray[np.uint8], labels: Labels) -> dict[int, Box]:
    """Return the box of each class in a label map, a voxel wider on all sides that are not the label map's.

    So a box is one voxel thick only if the label map is, as that of a picture.
    """
    boxes = boxes_of_classes(label, [labels.values_of(index) for index, _ in labels.foreground])
    return {
        index: tuple(
            slice(max(side.start - 1, 0), min(side.stop + 1, length))
            for side, length in zip(box, label.shape, strict=True)
        )
        for index, box in enumerate(boxes, start=1)
        if box is not None
    }


def _parts(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return the number of each voxel's part, 0 outside, and the voxels of each number."""
    parts = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, structure=_TOUCHING, output=parts)
    return parts, count_values(parts, int(parts.max()) + 1)
