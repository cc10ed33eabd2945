"""Distance in mm between the surfaces of two masks: over surface elements weighted by area, or over border voxels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from aunet.metrics.overlap import Mask
from aunet.metrics.surface_elements import surface_elements

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SurfaceDistances:
    """The distance (mm) of each point of one surface to the nearest of the other, both ways, and the points' weights.

    Both directions are empty if a mask has no surface: it is empty or, for elements, fills the whole scan, whose edge
    is not a surface. Then every statistic is NaN.
    """

    to_reference: FloatArray
    to_prediction: FloatArray
    prediction_weights: FloatArray
    reference_weights: FloatArray

    def mean(self) -> float:
        """Return the mean over both surfaces together: sum(weight * distance) / sum(weight)."""
        if not len(self.to_reference):
            return float("nan")
        weights = np.concatenate([self.prediction_weights, self.reference_weights])
        return float(np.average(np.concatenate([self.to_reference, self.to_prediction]), weights=weights))

    def percentile(self, share: float) -> float:
        """Return the larger of both directions' distances (mm) within which ``share`` of a surface's weight lies.

        With a share of 0.95 this is the HD95 (Huttenlocher et al. 1993): a modified Hausdorff distance that a few stray
        voxels do not decide.
        """
        if not len(self.to_reference):
            return float("nan")
        return max(
            _weighted_percentile(self.to_reference, self.prediction_weights, share),
            _weighted_percentile(self.to_prediction, self.reference_weights, share),
        )

    def share_within(self, tolerance: float) -> float:
        """Return the share of both surfaces' weight that lies within ``tolerance`` (mm) of the other surface.

        This is the normalised surface distance, also called surface Dice (Nikolov et al. 2021, "Clinically applicable
        segmentation of head and neck anatomy for radiotherapy", J. Med. Internet Res. 23, e26151).
        """
        if not len(self.to_reference):
            return float("nan")
        # Distances that equal the tolerance mathematically exceed it by rounding.
        within = tolerance + 1e-9
        near = self.prediction_weights[self.to_reference <= within].sum()
        near += self.reference_weights[self.to_prediction <= within].sum()
        return float(near / (self.prediction_weights.sum() + self.reference_weights.sum()))


def element_distances(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> SurfaceDistances:
    """Return the distances between the surface elements of two masks of one shape, weighted by area (mm^2).

    Both surfaces are cut into elements (see ``surface_elements``). The distance of an element is that of its centroid
    to the nearest centroid of the other surface. The mean is the average symmetric surface distance: sum(area *
    distance) / sum(area) over both surfaces together (Heimann et al. 2009, "Comparison and evaluation of methods for
    liver segmentation from CT datasets").

    Args:
        prediction: Boolean mask of the whole scan, or of a crop with a margin of one voxel within the scan.
        reference: Likewise, of the same shape.
        spacing: Voxel size along each axis in mm.
    """
    _check_alike(prediction, reference, spacing)
    return _mutual_distances(*surface_elements(prediction, spacing), *surface_elements(reference, spacing))


def border_distances(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> SurfaceDistances:
    """Return the distances between the border voxels of two masks, which count alike.

    Many programs, and earlier versions of this one, use this plain form. It underrates steep surfaces of thick slices,
    and voxels at the scan's edge count as border.
    """
    _check_alike(prediction, reference, spacing)
    points, others = border_points(prediction, spacing), border_points(reference, spacing)
    return _mutual_distances(points, np.ones(len(points)), others, np.ones(len(others)))


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


def _mutual_distances(
    points: FloatArray, weights: FloatArray, others: FloatArray, other_weights: FloatArray
) -> SurfaceDistances:
    if not len(points) or not len(others):
        return SurfaceDistances(np.empty(0), np.empty(0), np.empty(0), np.empty(0))
    # Trees of surface points need the memory of the surfaces; distance transforms need that of the volume.
    to_reference, _ = KDTree(others).query(points)
    to_prediction, _ = KDTree(points).query(others)
    return SurfaceDistances(to_reference, to_prediction, weights, other_weights)


def _weighted_percentile(distances: FloatArray, weights: FloatArray, share: float) -> float:
    """Return the value below which ``share`` of the weight lies, interpolated linearly between neighbours.

    Each value lies at the weight below it as a share of all weight but that of the largest value, which with equal
    weights is the definition of ``numpy.percentile``.
    """
    order = np.argsort(distances, kind="stable")
    ordered, below = distances[order], np.cumsum(weights[order]) - weights[order]
    return float(np.interp(share * below[-1], below, ordered))


def _check_alike(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> None:
    assert prediction.shape == reference.shape, f"masks of shapes {prediction.shape} and {reference.shape}"
    assert len(spacing) == prediction.ndim, f"spacing of {len(spacing)} axes, masks of {prediction.ndim}"
