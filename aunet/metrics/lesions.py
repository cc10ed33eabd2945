"""Detection of separate parts (lesions) of a class: connected components that prediction and reference share."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from aunet.metrics.overlap import Mask, ratio


@dataclass(frozen=True)
class LesionDetection:
    """Shares of the components that the other mask touches; one shared voxel counts as detected.

    A component holds the voxels that are joined by faces, edges or corners.

    Attributes:
        recall: of the reference's components; NaN if there are none.
        precision: of the prediction's components; NaN if nothing was predicted.
    """

    recall: float
    precision: float

    @classmethod
    def of_masks(cls, prediction: Mask, reference: Mask) -> "LesionDetection":
        """Count the components of two masks of one shape."""
        return cls(_share_touched(reference, prediction), _share_touched(prediction, reference))

    @property
    def f1(self) -> float:
        """Return the harmonic mean of both; 0 if one mask alone is empty, NaN if both are."""
        shares = self.recall, self.precision
        if any(map(math.isnan, shares)):
            return math.nan if all(map(math.isnan, shares)) else 0.0
        return 2 * shares[0] * shares[1] / sum(shares) if any(shares) else 0.0


def _share_touched(mask: Mask, other: Mask) -> float:
    found: Any = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    numbers, count = found
    return ratio(len(np.unique(numbers[mask & other])), count)
