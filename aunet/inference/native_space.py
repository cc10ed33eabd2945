"""Resampling of predictions from a preprocessed grid back to the voxels of the stored scan."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aunet.data.preprocessing.resampling import Affine, GridMapping, Resampling

_BACKGROUND = 0


def restore_label_map(
    logits: Tensor,
    affine: Affine,
    native_shape: Sequence[int],
    native_affine: Affine,
    resampling: Resampling = "area",
) -> NDArray[np.uint8]:
    """Return the label map (H, W, D) of the scan: the class with the highest resampled logit at each of its voxels.

    ``logits`` (K, h, w, d) lie on the grid of ``affine``, whose axes are parallel to the scan's. They are interpolated
    linearly along axes on which the scan is finer, and averaged over the scan's voxel along axes on which it is coarser
    (``resampling``, see ``aunet.data.preprocessing.resampling``). Voxels outside that grid are background. One class is
    resampled at a time, so memory is a few volumes of the scan, not K.
    """
    mapping = GridMapping(affine, native_shape, native_affine, resampling)
    if mapping.is_reordering:
        label = mapping.resample(logits.argmax(dim=0).to(torch.uint8))
    else:
        label = _highest_class(mapping.resample(values) for values in logits.float())
    return _outside_filled(label, _BACKGROUND, mapping, logits).numpy()


def restore_probabilities(
    logits: Tensor,
    affine: Affine,
    native_shape: Sequence[int],
    native_affine: Affine,
    resampling: Resampling = "area",
) -> NDArray[np.float32]:
    """Return probabilities (K, H, W, D) at the scan's voxels: softmax of what ``restore_label_map`` compares."""
    mapping = GridMapping(affine, native_shape, native_affine, resampling)
    resampled = torch.stack([mapping.resample(values) for values in logits.float()])
    probabilities = resampled.softmax(dim=0)
    filled = [
        _outside_filled(values, float(index == _BACKGROUND), mapping, logits)
        for index, values in enumerate(probabilities)
    ]
    return torch.stack(filled).numpy()


def _highest_class(resampled: Iterator[Tensor]) -> Tensor:
    highest = next(resampled).clone()
    label = torch.zeros(highest.shape, dtype=torch.uint8)
    for index, candidate in enumerate(resampled, start=1):
        label.masked_fill_(candidate > highest, index)
        torch.maximum(highest, candidate, out=highest)
    return label


def _outside_filled(values: Tensor, filling: float, mapping: GridMapping, logits: Tensor) -> Tensor:
    """Return ``values`` (H, W, D) with ``filling`` beyond the grid of ``logits``."""
    filled = values.contiguous()
    for axis, is_outside in enumerate(mapping.outside(logits.shape[1:])):
        if is_outside.any():
            filled.index_fill_(axis, torch.from_numpy(np.flatnonzero(is_outside)), filling)
    return filled
