"""Intensities of a whole image in a few numbers, by which the doctor and the search for the modality judge it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
MOST_SAMPLES = 200_000
# Share of the range up to the brightest percentile within which voxels count as background.
_DARK = 0.05


@dataclass(frozen=True)
class Intensities:
    """Extremes of all voxels of an image and, of an even sample, percentiles and the share of soft tissue (HU).

    ``share_of_dark`` is that of voxels hardly above the lowest value, ``bright_median`` the median of all others.
    """

    lowest: float
    highest: float
    percentiles: tuple[float, ...]
    share_of_soft_tissue: float
    share_of_dark: float
    bright_median: float


def measured_intensities(array: NDArray[np.floating]) -> Intensities:
    """Measure the intensities of one channel (H, W, D)."""
    sample, lowest = _even_sample(array), float(array.min())
    percentiles = percentiles_of(sample)
    bright = sample[sample > lowest + _DARK * (percentiles[-1] - lowest)]
    return Intensities(
        lowest=lowest,
        highest=float(array.max()),
        percentiles=percentiles,
        share_of_soft_tissue=float(((sample > -200) & (sample < 300)).mean()),
        share_of_dark=1 - bright.size / sample.size,
        bright_median=float(np.median(bright)) if bright.size else lowest,
    )


def percentiles_of(values: NDArray[np.floating]) -> tuple[float, ...]:
    """Return the ``PERCENTILES`` of ``values``."""
    return tuple(float(value) for value in np.percentile(values, PERCENTILES))


def _even_sample(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return every n-th voxel along each axis, about ``MOST_SAMPLES`` of them."""
    step = max(1, round((array.size / MOST_SAMPLES) ** (1 / 3)))
    return array[tuple(slice(None, None, step if size > step else 1) for size in array.shape)]
