"""Distance between two surfaces in mm, over the voxels at the border of each mask."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aunet.metrics.overlap import Mask


def average_surface_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Average symmetric surface distance of two masks of one shape, in the unit of ``spacing`` (mm per voxel and axis).

    The distance of a border voxel is to the nearest border voxel of the other mask, centre to centre; the mean is over
    the border voxels of both masks together. NaN where a mask is empty.
    Heimann et al. 2009, "Comparison and evaluation of methods for liver segmentation from CT datasets".
    """
    assert prediction.shape == reference.shape, f"masks of shapes {prediction.shape} and {reference.shape}"
    assert len(spacing) == prediction.ndim, f"spacing of {len(spacing)} axes, masks of {prediction.ndim}"
    predicted, expected = border_points(prediction, spacing), border_points(reference, spacing)
    if not len(predicted) or not len(expected):
        return float("nan")
    # Trees of border points need the memory of the surfaces; distance transforms need that of the volume.
    to_expected, _ = KDTree(expected).query(predicted)
    to_predicted, _ = KDTree(predicted).query(expected)
    return float(np.concatenate([to_expected, to_predicted]).mean())


def border_points(mask: Mask, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Centres (n, axes) in mm of the voxels of ``mask`` with a face towards a voxel outside it or the array's edge."""
    return np.argwhere(mask & ~_interior(mask)) * np.asarray(spacing, dtype=np.float64)


def _interior(mask: Mask) -> Mask:
    inside = mask.copy()
    for axis in range(mask.ndim):
        here, voxels = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        here[1:] &= voxels[:-1]
        here[:-1] &= voxels[1:]
        here[:1] = here[-1:] = False
    return inside
