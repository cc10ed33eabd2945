"""Agreement of a class's probabilities with its reference, for predictions whose probabilities are kept."""

import numpy as np
from numpy.typing import NDArray

from aunet.metrics.overlap import Mask

FloatArray = NDArray[np.floating]


def brier_score(probability: FloatArray, reference: Mask) -> float:
    """Return the mean squared difference of probability (0..1) and reference over voxels (Brier 1950); 0 is best."""
    return float(np.square(_checked(probability, reference) - reference).mean())


def expected_calibration_error(probability: FloatArray, reference: Mask, num_bins: int = 15) -> float:
    """Return the gap between probability and frequency, averaged over bins of equal width; 0 is best.

    Each bin (the last one closed) counts by its number of voxels: sum(n_b / n * |frequency_b - probability_b|), Guo et
    al. 2017, "On calibration of modern neural networks", for one class against all others.
    """
    values = _checked(probability, reference).ravel()
    bins = np.minimum((values * num_bins).astype(np.intp), num_bins - 1)
    gaps = np.bincount(bins, weights=values - reference.ravel(), minlength=num_bins)
    return float(np.abs(gaps).sum() / values.size)


def _checked(probability: FloatArray, reference: Mask) -> NDArray[np.float64]:
    assert probability.shape == reference.shape, f"{probability.shape} and {reference.shape}"
    assert probability.min() >= 0, f"probabilities from {probability.min()}"
    assert probability.max() <= 1, f"probabilities to {probability.max()}"
    return probability.astype(np.float64)
