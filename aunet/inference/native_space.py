"""Resampling of predictions from a preprocessed grid back to the voxels of the stored scan."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aunet.data.preprocessing.resampling import Affine, GridMapping, Resampling
from aunet.inference.window_layout import window_slices

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
    return _outside_filled(label, _BACKGROUND, mapping, logits.shape[1:]).numpy()


class LabelMapRestorer:
    """The label map of ``restore_label_map``, made from parts of the logits, so that all of them are never in memory.

    Args:
        affine: of the logits' grid.
        shape: of the logits' grid (h, w, d).
        native_shape: of the scan.
        native_affine: of the scan.
        resampling: as in ``restore_label_map``.
    """

    def __init__(
        self,
        affine: Affine,
        shape: Sequence[int],
        native_shape: Sequence[int],
        native_affine: Affine,
        resampling: Resampling = "area",
    ) -> None:
        self._mapping = GridMapping(affine, native_shape, native_affine, resampling)
        self._shape = tuple(shape)
        self.is_reordering = self._mapping.is_reordering
        self._label = torch.full(self._shape if self.is_reordering else tuple(native_shape), _BACKGROUND).to(
            torch.uint8
        )
        self._first_needed, self._last_needed = self._mapping.needed_rows(self._shape[0])
        self._is_done = np.zeros(len(self._first_needed), dtype=np.bool_)
        self._held: Tensor | None = None
        self._first_held = 0

    def add(self, corner: Sequence[int], logits: Tensor) -> None:
        """Add logits (K, ...) at ``corner`` of their grid: any box if the grids only differ in order, else whole rows.

        Rows come in order, none is left out.
        """
        if self.is_reordering:
            place = window_slices(corner, logits.shape[1:])
            self._label[place] = logits.argmax(dim=0).to(torch.uint8).cpu()
            return
        assert tuple(logits.shape[2:]) == self._shape[1:], "resampling needs whole rows"
        logits = logits.cpu()
        self._held = logits if self._held is None else torch.cat([self._held, logits], dim=1)
        self._finish(self._held)

    def label(self) -> NDArray[np.uint8]:
        """Return the label map (H, W, D) once all logits were added; it is background where none were."""
        label = self._mapping.resample(self._label) if self.is_reordering else self._label
        return _outside_filled(label, _BACKGROUND, self._mapping, self._shape).numpy()

    def _finish(self, held: Tensor) -> None:
        """Label the rows of the scan whose logits are all held, and drop logits that no later row needs."""
        end = self._first_held + held.shape[1]
        ready = np.flatnonzero(~self._is_done & (self._last_needed < end))
        if len(ready):
            part = slice(int(ready[0]), int(ready[-1]) + 1)
            mapping, order = self._mapping.of_rows(part, self._first_held), self._mapping.order(self._shape)
            label = _highest_class(mapping.resample(values.float(), order) for values in held)
            axis = self._mapping.target_axes[0]
            self._label.narrow(axis, part.start, len(ready)).copy_(label)
            self._is_done[part] = True
        rest = self._first_needed[~self._is_done]
        first = min(int(rest.min()), end) if len(rest) else end
        self._held = held[:, first - self._first_held :].clone()
        self._first_held = first


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
        _outside_filled(values, float(index == _BACKGROUND), mapping, logits.shape[1:])
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


def _outside_filled(values: Tensor, filling: float, mapping: GridMapping, shape: Sequence[int]) -> Tensor:
    """Return ``values`` (H, W, D) with ``filling`` beyond the logits' grid of ``shape`` (h, w, d)."""
    filled = values.contiguous()
    for axis, is_outside in enumerate(mapping.outside(shape)):
        if is_outside.any():
            filled.index_fill_(axis, torch.from_numpy(np.flatnonzero(is_outside)), filling)
    return filled
