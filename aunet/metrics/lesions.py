"""Detection of separate parts (lesions) of a class: connected components that prediction and reference share."""

from typing import Any

import numpy as np
from scipy import ndimage

from aunet.metrics.overlap import Mask, ratio


def lesion_recall(prediction: Mask, reference: Mask) -> float:
    """Return the share of the reference's components that the prediction touches; NaN if there are none.

    A component holds the voxels that are joined by faces, edges or corners. One shared voxel counts as detected.
    """
    return _share_touched(reference, prediction)


def lesion_precision(prediction: Mask, reference: Mask) -> float:
    """Return the share of the prediction's components that touch the reference; NaN if nothing was predicted."""
    return _share_touched(prediction, reference)


def lesion_f1(prediction: Mask, reference: Mask) -> float:
    """Return the harmonic mean of ``lesion_recall`` and ``lesion_precision``; 0 if one mask alone is empty."""
    shares = lesion_recall(prediction, reference), lesion_precision(prediction, reference)
    if any(map(np.isnan, shares)):
        return float("nan") if all(map(np.isnan, shares)) else 0.0
    return 2 * shares[0] * shares[1] / sum(shares) if any(shares) else 0.0


def _share_touched(mask: Mask, other: Mask) -> float:
    found: Any = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    numbers, count = found
    return ratio(len(np.unique(numbers[mask & other])), count)
