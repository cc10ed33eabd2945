"""Steps from a stored scan to the input of a network: RAS orientation, one spacing, intensities by modality.

The result is a function of the file and the settings alone: no state, no randomness, the same on every run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from nibabel.orientations import inv_ornt_aff, io_orientation
from numpy.typing import NDArray
from torch import Tensor

from aunet.data.cohort.case import Modality
from aunet.data.io.grid import Voxels
from aunet.data.io.volume import Volume, check_same_grid
from aunet.data.preprocessing.intensity_scale import IntensityScale, Window, standardise
from aunet.data.preprocessing.label_resampling import resample_label, resample_label_linearly
from aunet.data.preprocessing.resampling import Affine, GridMapping, Resampling, respaced_grid

# Incremented whenever the same settings produce other numbers, so that stored cases are made again.
_VERSION = 2


@dataclass(frozen=True)
class PreprocessedVolume:
    """An image (C, h, w, d) float32 or a label map (h, w, d) uint8 on a RAS grid with ``affine`` (voxel -> RAS+ mm)."""

    array: Voxels
    affine: Affine


@dataclass(frozen=True)
class Preprocessing:
    """The steps every case goes through, in training and in prediction alike.

    Each channel is clipped and standardised for itself, by its own modality; see ``intensity_scale.standardise``.

    Args:
        spacing: mm along the right, anterior and superior axes; None keeps each scan's own.
        modality: that of all channels, or one for each.
        window: HU to which CT channels without a scale are clipped; None clips nothing.
        resampling: how scans are brought to the spacing; "linear" as in runs of earlier versions.
        scales: window, mean and deviation of every volume, one per channel; None if each has its own, empty if all do.
    """

    spacing: tuple[float, ...] | None
    modality: Modality | tuple[Modality, ...]
    window: Window | None
    resampling: Resampling = "area"
    scales: tuple[IntensityScale | None, ...] = ()

    def image(self, channels: Sequence[Volume]) -> PreprocessedVolume:
        """Preprocess the channels of one scan; raise UserError unless all lie on one grid."""
        for channel in channels[1:]:
            check_same_grid(channels[0], channel, "with several channels")
        prepared = [self._channel(channel, number) for number, channel in enumerate(channels)]
        arrays = [array for array, _ in prepared]
        return PreprocessedVolume(np.stack(arrays) if len(arrays) > 1 else arrays[0][None], prepared[0][1])

    def label(self, volume: Volume) -> PreprocessedVolume:
        """Return the label map on the grid that ``image`` makes of its shape and affine; values 0 to 255.

        Each voxel takes the class with the largest share of it, see ``resample_label``.
        """
        assert np.array_equal(volume.array, volume.array.astype(np.uint8)), f"{volume.name}: labels beyond 0..255"
        oriented, affine = _to_ras(volume.array.astype(np.uint8), volume.affine)
        mapping, grid_affine = self._mapping(oriented, affine)
        resample = resample_label if self.resampling == "area" else resample_label_linearly
        resampled = oriented if mapping is None else resample(oriented, mapping)
        return PreprocessedVolume(np.ascontiguousarray(resampled.numpy()), grid_affine)

    def settings(self) -> dict[str, object]:
        """Return all that decides the result, as JSON can hold it: part of the key of a stored case."""
        spacing = None if self.spacing is None else [float(side) for side in self.spacing]
        window = None if self.window is None else [float(bound) for bound in self.window]
        modality = self.modality if isinstance(self.modality, str) else list(self.modality)
        settings: dict[str, object] = {"version": _VERSION, "spacing": spacing, "modality": modality, "window": window}
        scales = [None if scale is None else scale.as_facts() for scale in self.scales]
        return settings | {"resampling": self.resampling} | ({"scales": scales} if any(scales) else {})

    def shown_window(self) -> Window | None:
        """Return the HU to show the first channel in; None if it is not CT or not clipped."""
        if self._modality(0) != "ct":
            return None
        scale = self._scale(0)
        return self.window if scale is None else scale.window

    def _channel(self, volume: Volume, number: int) -> tuple[NDArray[np.float32], Affine]:
        array, affine = self._on_grid(volume)
        standardise(array, self._modality(number), self.window, self._scale(number))
        return array, affine

    def _modality(self, number: int) -> Modality:
        return self.modality if isinstance(self.modality, str) else self.modality[number]

    def _scale(self, number: int) -> IntensityScale | None:
        return self.scales[number] if self.scales else None

    def _on_grid(self, volume: Volume) -> tuple[NDArray[np.float32], Affine]:
        """Return a copy, which later steps may change in place, as a scan may fill a good part of the memory."""
        array = np.asarray(volume.array, dtype=np.float32)
        if min(array.strides) < 0:  # a flipped view, as nibabel returns them, which torch does not take
            array = array.copy()
        oriented, affine = _to_ras(array, volume.affine)
        mapping, grid_affine = self._mapping(oriented, affine)
        if mapping is not None:
            oriented = mapping.resample(oriented)
        array = oriented.numpy()
        is_own = array.flags.c_contiguous and not np.may_share_memory(array, volume.array)
        return array if is_own else np.array(array, order="C"), grid_affine

    def _mapping(self, oriented: Tensor, affine: Affine) -> tuple[GridMapping | None, Affine]:
        """Return how to resample, None if the spacing is right already, and the affine of the resulting grid."""
        if self.spacing is None:
            return None, affine
        shape, grid_affine = respaced_grid(oriented.shape, affine, self.spacing)
        is_same = shape == tuple(oriented.shape) and np.array_equal(grid_affine, affine)
        return (None if is_same else GridMapping(affine, shape, grid_affine, self.resampling)), grid_affine


def _to_ras(array: Voxels, affine: Affine) -> tuple[Tensor, Affine]:
    """Permute and flip (H, W, D) so that its axes run nearest to right, anterior and superior.

    The result shares the memory of ``array`` if no axis is flipped, and lies in the order of the new axes otherwise.
    Equal to MONAI's ``Orientation("RAS")``, without importing all of MONAI for each prediction.
    """
    orientation: NDArray[np.floating] = io_orientation(affine)  # a row per axis: its RAS axis and 1 or -1
    flipped = tuple(axis for axis, sign in enumerate(orientation[:, 1]) if sign < 0)
    oriented = np.flip(array, flipped).transpose(np.argsort(orientation[:, 0]))
    # torch has no negative strides. The copy is in the order in which the next steps read.
    tensor = torch.from_numpy(np.ascontiguousarray(oriented) if flipped else oriented)
    return tensor, affine @ inv_ornt_aff(orientation, array.shape)
