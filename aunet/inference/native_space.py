"""Resampling of predictions from a preprocessed grid back to the voxels of the stored scan."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aunet.data.preprocessing.resampling import Affine, GridMapping, Resampling
from aunet.inference.window_layout import window_slices
from aunet.targets import EXCLUSIVE, Target

_BACKGROUND = 0


def restore_label_map(
    logits: Tensor,
    affine: Affine,
    native_shape: Sequence[int],
    native_affine: Affine,
    resampling: Resampling = "area",
    target: Target = EXCLUSIVE,
) -> NDArray[np.uint8]:
    """Return the label map (H, W, D) of the scan: that of the resampled logits at each of its voxels.

    ``logits`` (K, h, w, d) lie on the grid of ``affine``, whose axes are parallel to the scan's. They are interpolated
    linearly along axes on which the scan is finer, and averaged over the scan's voxel along axes on which it is coarser
    (``resampling``, see ``aunet.data.preprocessing.resampling``). Voxels outside that grid are background. One class is
    resampled at a time, so memory is a few volumes of the scan, not K.
    """
    mapping = GridMapping(affine, native_shape, native_affine, resampling)
    if mapping.is_reordering:
        label = mapping.resample(target.label_map(logits))
    else:
        label = target.label_of_maps(mapping.resample(values) for values in logits.float())
    return _outside_filled(label, _BACKGROUND, mapping, logits.shape[1:]).numpy()


class RowRestorer:
    """The values at the scan's voxels, row by row, from rows of values on a preprocessed grid as they are finished.

    A row of the scan is a plane across its axis ``axis``, the one parallel to axis 0 of the values' grid.

    Args:
        affine: of the values' grid.
        shape: of the values' grid (h, w, d).
        native_shape: of the scan.
        native_affine: of the scan.
        resampling: as in ``restore_label_map``.
        most_rows: of the scan that are restored at once; None for all whose values are there.
    """

    def __init__(
        self,
        affine: Affine,
        shape: Sequence[int],
        native_shape: Sequence[int],
        native_affine: Affine,
        resampling: Resampling = "area",
        most_rows: int | None = None,
    ) -> None:
        self.mapping = GridMapping(affine, native_shape, native_affine, resampling)
        self.axis = self.mapping.target_axes[0]
        self._shape = tuple(shape)
        self._most_rows = most_rows
        self._first_needed, self._last_needed = self.mapping.needed_rows(self._shape[0])
        self._is_done = np.zeros(len(self._first_needed), dtype=np.bool_)
        self._held: Tensor | None = None
        self._first_held = 0

    @property
    def is_descending(self) -> bool:
        """Return whether the rows along axis 0 of the grid run against those of the scan."""
        first, last = self.mapping.coordinates[0][[0, -1]]
        return bool(first > last)

    def add(self, values: Tensor) -> Iterator[tuple[slice, Iterator[Tensor]]]:
        """Add the next rows (maps, rows, w, d) and yield the scan's rows that they complete, each map when it is taken.

        A map is that of some rows along ``axis`` of the scan, in its axis order.
        """
        assert tuple(values.shape[2:]) == self._shape[1:], "resampling needs whole rows"
        values = values.cpu()
        held = values if self._held is None else torch.cat([self._held, values], dim=1)
        end = self._first_held + held.shape[1]
        ready = np.flatnonzero(~self._is_done & (self._last_needed < end))
        for first in range(0, len(ready), self._most_rows or max(1, len(ready))):
            part = ready[first : first + (self._most_rows or len(ready))]
            yield self._restore(slice(int(part[0]), int(part[-1]) + 1), held)
        self._is_done[ready] = True
        rest = self._first_needed[~self._is_done]
        first_kept = min(int(rest.min()), end) if len(rest) else end
        self._held = held[:, first_kept - self._first_held :].clone()
        self._first_held = first_kept

    def _restore(self, part: slice, held: Tensor) -> tuple[slice, Iterator[Tensor]]:
        first, last = int(self._first_needed[part].min()), int(self._last_needed[part].max()) + 1
        mapping, order = self.mapping.of_rows(part, first), self.mapping.order(self._shape)
        needed = held[:, first - self._first_held : last - self._first_held]
        return part, (mapping.resample(values.float(), order) for values in needed)


class LabelMapRestorer:
    """The label map of ``restore_label_map``, made from parts of the logits, so that all of them are never in memory.

    Args:
        affine: of the logits' grid.
        shape: of the logits' grid (h, w, d).
        native_shape: of the scan.
        native_affine: of the scan.
        resampling: as in ``restore_label_map``.
        target: the meaning of the logits.
    """

    def __init__(
        self,
        affine: Affine,
        shape: Sequence[int],
        native_shape: Sequence[int],
        native_affine: Affine,
        resampling: Resampling = "area",
        target: Target = EXCLUSIVE,
    ) -> None:
        self.target = target
        self._rows = RowRestorer(affine, shape, native_shape, native_affine, resampling)
        self._shape = tuple(shape)
        self.is_reordering = self._rows.mapping.is_reordering
        label_shape = self._shape if self.is_reordering else tuple(native_shape)
        self._label = torch.full(label_shape, _BACKGROUND, dtype=torch.uint8)

    def add(self, corner: Sequence[int], logits: Tensor) -> None:
        """Add logits (K, ...) at ``corner`` of their grid: any box if the grids only differ in order, else whole rows.

        Rows come in order, none is left out.
        """
        if self.is_reordering:
            place = window_slices(corner, logits.shape[1:])
            self._label[place] = self.target.label_map(logits).cpu()
            return
        for part, resampled in self._rows.add(logits):
            rows = self._label.narrow(self._rows.axis, part.start, part.stop - part.start)
            rows.copy_(self.target.label_of_maps(resampled))

    def label(self) -> NDArray[np.uint8]:
        """Return the label map (H, W, D) once all logits were added; it is background where none were."""
        mapping = self._rows.mapping
        label = mapping.resample(self._label) if self.is_reordering else self._label
        return _outside_filled(label, _BACKGROUND, mapping, self._shape).numpy()


def _outside_filled(values: Tensor, filling: float, mapping: GridMapping, shape: Sequence[int]) -> Tensor:
    """Return ``values`` (H, W, D) with ``filling`` beyond the logits' grid of ``shape`` (h, w, d)."""
    filled = values.contiguous()
    for axis, is_outside in enumerate(mapping.outside(shape)):
        if is_outside.any():
            filled.index_fill_(axis, torch.from_numpy(np.flatnonzero(is_outside)), filling)
    return filled
