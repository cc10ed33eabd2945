"""Calibration of a class's probabilities in one case: whether voxels called 80 % belong to it in 80 % of the voxels.

All counted voxels of the scan enter alike, the air around the patient too, which every network calls rightly. So the
values are small, and those of scans with another field of view are not comparable; those of two models on one scan are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aunet.metrics.overlap import Mask

# Bins of equal width in [0, 1], as in Guo et al. 2017 (arXiv 1706.04599); the last includes 1.
BINS = 15
# Voxels at a time, so that temporary arrays stay at some 100 MB.
_VOXELS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Calibration:
    """Brier score and expected calibration error of one class in one case, both from 0 (best) to 1.

    The Brier score is the mean over the voxels of (p - y)^2, y being 1 inside the reference and 0 outside: a class's
    part of the squared error of the one-hot reference. The expected calibration error is the mean over the voxels of
    |mean p - share inside| of the voxel's bin.
    """

    brier: float
    ece: float


def measure_calibration(
    probabilities: NDArray[np.floating], reference: Mask, is_counted: Mask | None = None
) -> Calibration | None:
    """Return the calibration of one class; None if no voxel counts.

    Args:
        probabilities: of the class, (H, W, D), from 0 to 1.
        reference: voxels of the class, (H, W, D).
        is_counted: voxels with a reference; None for all.
    """
    counts, sums, inside = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
    squared = 0.0
    for rows in _slabs(reference.shape):
        chosen = slice(None) if is_counted is None else is_counted[rows]
        values = probabilities[rows][chosen].ravel().astype(np.float64)
        members = reference[rows][chosen].ravel()
        bins = np.minimum((values * BINS).astype(np.intp), BINS - 1)
        counts += np.bincount(bins, minlength=BINS)
        sums += np.bincount(bins, values, BINS)
        inside += np.bincount(bins, members, BINS)
        squared += float(np.square(values - members).sum())
    total = float(counts.sum())
    return Calibration(squared / total, float(np.abs(sums - inside).sum()) / total) if total else None


def _slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield ranges of the first axis that together are the whole array."""
    rows = max(1, _VOXELS_AT_ONCE * shape[0] // max(1, int(np.prod(shape))))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))
