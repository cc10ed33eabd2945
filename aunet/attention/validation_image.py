"""The validation cases whose attention is watched, as they enter the network."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from aunet.reporting.pictures.planes import LabelledScan, Triple


@dataclass(frozen=True)
class ValidationImage:
    """A preprocessed case: ``image`` (C, h, w, d), ``label`` (h, w, d) integers, RAS order, ``spacing`` in mm."""

    case_id: str
    image: Tensor
    label: NDArray[np.integer]
    spacing: Triple

    def as_scan(self) -> LabelledScan:
        """Return the first channel with the label, for pictures."""
        return LabelledScan(self.image[0].float().cpu().numpy(), self.label, self.spacing)


def patch_on_organ(case: ValidationImage, patch_size: tuple[int, ...]) -> ValidationImage:
    """Return the patch at the centre of the foreground's bounding box; of the volume if there is no foreground.

    It lies within the volume and is smaller than ``patch_size`` if the volume is.
    """
    places = np.argwhere(case.label > 0)
    low, high = (places.min(axis=0), places.max(axis=0) + 1) if len(places) else (0, np.array(case.label.shape))
    middles = (np.asarray(low) + np.asarray(high)) // 2
    box = tuple(
        slice(start, start + min(extent, size))
        for start, extent, size in zip(
            _starts(middles, patch_size, case.label.shape), patch_size, case.label.shape, strict=True
        )
    )
    return replace(case, image=case.image[(slice(None), *box)], label=case.label[box])


def _starts(middles: NDArray[np.integer], patch_size: tuple[int, ...], shape: tuple[int, ...]) -> list[int]:
    return [
        min(max(int(middle) - extent // 2, 0), max(size - extent, 0))
        for middle, extent, size in zip(middles, patch_size, shape, strict=True)
    ]
