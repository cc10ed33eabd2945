"""The surface distances of two masks, as the registry computes them."""

from collections.abc import Sequence

from aunet.metrics.mask_pair import MaskPair
from aunet.metrics.overlap import Mask
from aunet.metrics.registry import METRIC_OF


def average_surface_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Return the registry's distance over surface elements."""
    return METRIC_OF["assd_mm"].function(MaskPair(prediction, reference, spacing))


def voxel_surface_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Return the registry's distance over border voxels."""
    return METRIC_OF["voxel_assd_mm"].function(MaskPair(prediction, reference, spacing))
