"""Agreement of two masks by voxel counts; a ratio of 0 / 0 is NaN: undefined, never a score."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def dice(prediction: Mask, reference: Mask) -> float:
    """Return 2 |P and R| / (|P| + |R|) of two boolean arrays of one shape; NaN if both are empty.

    Examples:
        >>> dice(np.array([True, True, False]), np.array([True, False, False]))
        0.6666666666666666
    """
    return ratio(2 * _shared(prediction, reference), _count(prediction) + _count(reference))


def iou(prediction: Mask, reference: Mask) -> float:
    """Return |P and R| / |P or R| (Jaccard); NaN if both are empty."""
    shared = _shared(prediction, reference)
    return ratio(shared, _count(prediction) + _count(reference) - shared)


def precision(prediction: Mask, reference: Mask) -> float:
    """Return |P and R| / |P|, the share of the prediction that is right; NaN if nothing was predicted.

    Examples:
        >>> precision(np.array([True, True, False]), np.array([True, False, False]))
        0.5
    """
    return ratio(_shared(prediction, reference), _count(prediction))


def recall(prediction: Mask, reference: Mask) -> float:
    """Return |P and R| / |R|, the share of the reference that was found; NaN if there is no reference.

    Examples:
        >>> recall(np.array([True, False, False]), np.array([False, False, False]))
        nan
    """
    return ratio(_shared(prediction, reference), _count(reference))


def ratio(part: float, whole: float) -> float:
    """Return ``part / whole``, or NaN if ``whole`` is 0."""
    return part / whole if whole else float("nan")


def _shared(prediction: Mask, reference: Mask) -> int:
    assert prediction.shape == reference.shape, f"masks of shapes {prediction.shape} and {reference.shape}"
    return _count(prediction & reference)


def _count(mask: Mask) -> int:
    assert mask.dtype == np.bool_, f"a mask is boolean, not {mask.dtype}"
    return int(np.count_nonzero(mask))
