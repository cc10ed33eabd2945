"""From a scan as stored to what a network sees: RAS orientation, one spacing, intensities by modality.

Everything is a function of the file and the settings alone: no state, no randomness, equal on every run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.spatial.array import Orientation
from numpy.typing import NDArray
from torch import Tensor

from aunet.data.case import Modality
from aunet.data.label_resampling import resample_label, resample_label_linearly
from aunet.data.resampling import Affine, GridMapping, Resampling, respaced_grid
from aunet.data.volume import Volume, check_same_grid

# Raised whenever the same settings give other numbers, so that stored cases are made again.
_VERSION = 2
_VOXELS_AT_ONCE = 2**22
_RAS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class PreprocessedVolume:
    """An image (C, h, w, d) float32 or a label map (h, w, d) uint8 on a RAS grid with ``affine`` (voxel -> RAS+ mm)."""

    array: NDArray[Any]
    affine: Affine


@dataclass(frozen=True)
class Preprocessing:
    """The steps every case goes through, in training and in prediction alike.

    ``spacing`` in mm along the right, anterior and superior axes, None keeps each scan's own. ``window`` in HU: CT is
    clipped to it, then brought to zero mean and unit variance over the volume. MR has no scale: the mean and variance
    are those of its voxels that are not exactly zero, as zero marks what a brain extraction or a crop cut away. A
    picture has no scale either, and its zeros are as good as any value: all pixels count, each channel for itself.
    ``resampling`` says how scans are brought to the spacing: "linear" as in runs of earlier versions.
    """

    spacing: tuple[float, ...] | None
    modality: Modality
    window: tuple[float, float]
    resampling: Resampling = "area"

    def image(self, channels: Sequence[Volume]) -> PreprocessedVolume:
        """The channels of one scan, all on one grid; UserError when they are not."""
        for channel in channels[1:]:
            check_same_grid(channels[0], channel, "with several channels")
        prepared = [self._channel(channel) for channel in channels]
        arrays = [array for array, _ in prepared]
        return PreprocessedVolume(np.stack(arrays) if len(arrays) > 1 else arrays[0][None], prepared[0][1])

    def label(self, volume: Volume) -> PreprocessedVolume:
        """Return the label map on the grid ``image`` gives for a volume of its shape and affine; values 0 to 255.

        Each voxel takes the class with the largest share of it, see ``resample_label``.
        """
        assert np.array_equal(volume.array, volume.array.astype(np.uint8)), f"{volume.name}: labels beyond 0..255"
        oriented, affine = _to_ras(torch.from_numpy(volume.array.astype(np.uint8)), volume.affine)
        mapping, grid_affine = self._mapping(oriented, affine)
        resample = resample_label if self.resampling == "area" else resample_label_linearly
        resampled = oriented if mapping is None else resample(oriented, mapping)
        return PreprocessedVolume(np.ascontiguousarray(resampled.numpy()), grid_affine)

    def settings(self) -> dict[str, Any]:
        """All that decides the result, as JSON can hold it: part of the key of a stored case."""
        spacing = None if self.spacing is None else [float(side) for side in self.spacing]
        window = [float(bound) for bound in self.window]
        result = {"version": _VERSION, "spacing": spacing, "modality": self.modality, "window": window}
        return result | {"resampling": self.resampling}

    def _channel(self, volume: Volume) -> tuple[NDArray[np.float32], Affine]:
        array, affine = self._on_grid(volume)
        self._standardise(array)
        return array, affine

    def _on_grid(self, volume: Volume) -> tuple[NDArray[np.float32], Affine]:
        """An array of its own: what follows may work in place, as a scan may fill a good part of the memory."""
        oriented, affine = _to_ras(torch.from_numpy(np.asarray(volume.array, dtype=np.float32)), volume.affine)
        mapping, grid_affine = self._mapping(oriented, affine)
        resampled = oriented if mapping is None else mapping.resample(oriented)
        return np.array(resampled.numpy(), order="C"), grid_affine

    def _mapping(self, oriented: Tensor, affine: Affine) -> tuple[GridMapping | None, Affine]:
        """How to resample, None where the spacing is right already; and the affine of the resulting grid."""
        if self.spacing is None:
            return None, affine
        shape, grid_affine = respaced_grid(oriented.shape, affine, self.spacing)
        is_same = shape == tuple(oriented.shape) and np.array_equal(grid_affine, affine)
        return (None if is_same else GridMapping(affine, shape, grid_affine, self.resampling)), grid_affine

    def _standardise(self, array: NDArray[np.float32]) -> None:
        if self.modality == "ct":
            np.clip(array, *self.window, out=array)
        _to_zero_mean_unit_variance(array, array[array != 0] if self.modality == "mr" else array)


def _to_ras(array: Tensor, affine: Affine) -> tuple[Tensor, Affine]:
    """Permute and flip (H, W, D) so that its axes run nearest to right, anterior and superior."""
    volume = MetaTensor(array[None], affine=torch.from_numpy(affine))
    oriented: Any = Orientation(axcodes="RAS", labels=_RAS_LABELS)(volume)
    return oriented.as_tensor()[0], oriented.affine.numpy().astype(np.float64)


def _to_zero_mean_unit_variance(array: NDArray[np.float32], sample: NDArray[np.float32]) -> None:
    """Shift and scale ``array`` by the mean and deviation of ``sample``; a constant image becomes zero."""
    if sample.size:
        mean, deviation = sample.mean(dtype=np.float64), _deviation(sample)
        array -= np.float32(mean)
        array /= np.float32(deviation or 1.0)


def _deviation(sample: NDArray[np.float32]) -> float:
    """Standard deviation in float64, part by part: a whole scan in float64 would take twice its own memory."""
    mean = sample.mean(dtype=np.float64)
    parts = np.array_split(sample.reshape(-1), 1 + sample.size // _VOXELS_AT_ONCE)
    return math.sqrt(sum(float(np.square(part - mean).sum()) for part in parts) / sample.size)
