"""Intensities of one channel, clipped and standardised by its modality."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aunet.data.cohort.case import Modality

Window = tuple[float, float]
"""Lowest and highest HU that are kept apart."""

_VOXELS_AT_ONCE = 2**22


@dataclass(frozen=True)
class IntensityScale:
    """The window of a CT channel, and the mean and deviation that standardise every volume of it, all in HU."""

    window: Window
    mean: float
    sd: float

    def as_facts(self) -> dict[str, object]:
        """Return plain values, as ``dataset.intensities`` of a run's config.yaml holds them."""
        return {"window": list(self.window), "mean": self.mean, "sd": self.sd}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "IntensityScale":
        """Return the scale that ``as_facts`` described."""
        low, high = facts["window"]
        return cls((float(low), float(high)), float(facts["mean"]), float(facts["sd"]))


def standardise(
    array: NDArray[np.float32], modality: Modality, window: Window | None, scale: IntensityScale | None = None
) -> None:
    """Clip and standardise one channel in place.

    With a ``scale``, its window, mean and deviation apply to every volume. Without one, each volume is brought to zero
    mean and unit variance over a part of its own voxels:

    - ct: all of them, clipped to ``window`` (HU; None clips nothing);
    - mr: those that are not exactly zero, as zero marks what a brain extraction or a crop cut away;
    - pet: those above zero, as zero means no tracer and reconstruction leaves small negative values in air; nothing
      is clipped, as the brightest voxels are the lesions;
    - picture: all of them, as zeros are as good as any value.
    """
    bounds = scale.window if scale is not None else window
    if modality == "ct" and bounds is not None:
        np.clip(array, *bounds, out=array)
    if scale is not None:
        array -= np.float32(scale.mean)
        array /= np.float32(scale.sd)
        return
    _to_zero_mean_unit_variance(array, _sample(array, modality))


def _sample(array: NDArray[np.float32], modality: Modality) -> NDArray[np.float32]:
    if modality == "mr":
        return array[array != 0]
    return array[array > 0] if modality == "pet" else array


def _to_zero_mean_unit_variance(array: NDArray[np.float32], sample: NDArray[np.float32]) -> None:
    """Shift and scale ``array`` by the mean and deviation of ``sample``; a constant image becomes zero."""
    if sample.size:
        mean, deviation = sample.mean(dtype=np.float64), _deviation(sample)
        array -= np.float32(mean)
        array /= np.float32(deviation or 1.0)


def _deviation(sample: NDArray[np.float32]) -> float:
    """Compute the standard deviation in float64, in parts: a whole scan in float64 would take twice its own memory."""
    mean = sample.mean(dtype=np.float64)
    parts = np.array_split(sample.reshape(-1), 1 + sample.size // _VOXELS_AT_ONCE)
    return math.sqrt(sum(float(np.square(part - mean).sum()) for part in parts) / sample.size)
