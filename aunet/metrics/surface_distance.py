"""Distance in mm between the surfaces of two masks: over surface elements weighted by area, or over border voxels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aunet.metrics.overlap import Mask
from aunet.metrics.surface_elements import surface_elements

FloatArray = NDArray[np.float64]


def average_surface_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Return the average symmetric surface distance (mm) of two masks of one shape, weighted by area.

    Both surfaces are cut into elements (see ``surface_elements``). The distance of an element is that of its centroid
    to the nearest centroid of the other surface; the mean is over the area of both surfaces together: sum(area *
    distance) / sum(area). Heimann et al. 2009, "Comparison and evaluation of methods for liver segmentation from CT
    datasets".

    Args:
        prediction: Boolean mask of the whole scan, or of a crop with a margin of one voxel within the scan.
        reference: Likewise, of the same shape.
        spacing: Voxel size along each axis in mm.

    Returns:
        NaN if a mask has no surface: it is empty, or fills the whole scan, whose edge is not a surface.
    """
    _check_alike(prediction, reference, spacing)
    points, areas = surface_elements(prediction, spacing)
    other_points, other_areas = surface_elements(reference, spacing)
    if not len(points) or not len(other_points):
        return float("nan")
    distances = _mutual_distances(points, other_points)
    return float(np.average(distances, weights=np.concatenate([areas, other_areas])))


def voxel_surface_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Return the average symmetric surface distance (mm) over border voxels, all with equal weight.

    Many programs, and earlier versions of this one, use this plain form. It underrates steep surfaces of thick slices,
    and voxels at the scan's edge count as border. The result is NaN if a mask is empty.
    """
    _check_alike(prediction, reference, spacing)
    points, other_points = border_points(prediction, spacing), border_points(reference, spacing)
    if not len(points) or not len(other_points):
        return float("nan")
    return float(_mutual_distances(points, other_points).mean())


def border_points(mask: Mask, spacing: Sequence[float]) -> FloatArray:
    """Return the centres (n, axes) in mm of the voxels with a face towards a voxel outside or the array's edge.

    Axes of length 1 have no such faces: a picture (H, W, 1) has the border of its contours in the plane.
    """
    return np.argwhere(mask & ~_interior(mask)) * np.asarray(spacing, dtype=np.float64)


def _interior(mask: Mask) -> Mask:
    inside = mask.copy()
    for axis in range(mask.ndim):
        if mask.shape[axis] == 1:
            continue
        here, voxels = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        here[1:] &= voxels[:-1]
        here[:-1] &= voxels[1:]
        here[:1] = here[-1:] = False
    return inside


def _mutual_distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the distance of each point to the nearest of the other set, first to second, then back."""
    # Trees of surface points need the memory of the surfaces; distance transforms need that of the volume.
    to_second, _ = KDTree(second).query(first)
    to_first, _ = KDTree(first).query(second)
    return np.concatenate([to_second, to_first])


def _check_alike(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> None:
    assert prediction.shape == reference.shape, f"masks of shapes {prediction.shape} and {reference.shape}"
    assert len(spacing) == prediction.ndim, f"spacing of {len(spacing)} axes, masks of {prediction.ndim}"
