"""Stitching of the maps of windows into those of a volume, slab by slab along its first axis.

A slab is finished as soon as no later window touches it. Sums are held only for the rows that later windows still
touch, so memory depends on the window's length, not on the volume's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from aunet.inference.window_layout import Triple, WindowLayout, window_slices

WindowMaps = tuple[Triple, Mapping[int, Tensor]]
"""A window's corner in the padded volume and its maps, each (maps, *cells), by key."""


@dataclass(frozen=True)
class Slab:
    """Finished rows (maps, rows, w, d) of the map ``key``, from the cell ``first`` along axis 0 of the padded volume.

    ``num_rows`` counts the rows of the whole map. The values are valid until the next slab is requested, and NaN in the
    cells ``is_without_window`` (rows, w, d), None if each has one.
    """

    key: int
    first: int
    num_rows: int
    values: Tensor
    is_without_window: Tensor | None = None


def finish_slabs(
    windows: Iterator[WindowMaps], layout: WindowLayout, sums: torch.dtype = torch.float32
) -> Iterator[Slab]:
    """Yield the weighted means of the windows' maps, each slab once, in order along axis 0.

    Windows come in the order of ``layout.corners``; some may be missing, and cells without a window are NaN.
    """
    if len(layout.corners) == 1:
        for _, maps in windows:
            yield from (Slab(key, 0, values.shape[1], values.float()) for key, values in maps.items())
        return
    stitched: dict[int, _Stitched] = {}
    for corner, maps in windows:
        for key in maps:
            if key not in stitched:
                stitched[key] = _Stitched(key, maps[key], layout, sums)
            yield from stitched[key].finish(corner[0])
            stitched[key].add(maps[key], corner)
        del maps  # before the network runs on the next window
    for of_key in stitched.values():
        yield from of_key.finish(layout.padded_size[0])


class _Stitched:
    """Weighted sums of one kind of map over the rows that are not finished; a cell has its voxels' mean weight."""

    def __init__(self, key: int, values: Tensor, layout: WindowLayout, sums: torch.dtype) -> None:
        self._key = key
        self._layout = layout
        self._cell_size = cell_size(values, layout.window)
        self._num_rows, *cells = (size // cell for size, cell in zip(layout.padded_size, self._cell_size, strict=True))
        kept = min(self._num_rows, values.shape[1])
        self._sums = torch.zeros((values.shape[0], kept, *cells), device=values.device, dtype=sums)
        self._total = torch.zeros((kept, *cells), device=values.device)
        self._first = 0
        self._weights: Tensor | None = None

    def add(self, values: Tensor, corner: Triple) -> None:
        """Add a window's map (maps, ...) at its corner in the padded volume (voxels)."""
        weights = self._weights_at(corner, values.device)
        cells = [start // cell for start, cell in zip(corner, self._cell_size, strict=True)]
        place = window_slices((cells[0] - self._first, *cells[1:]), weights.shape)
        self._sums[(slice(None), *place)] += values.float() * weights
        self._total[place] += weights

    def finish(self, voxel: int) -> Iterator[Slab]:
        """Yield the rows before ``voxel`` along axis 0 of the padded volume, then drop them."""
        end = voxel // self._cell_size[0]
        while self._first < end:
            rows = min(end - self._first, len(self._total))
            total = self._total[:rows]
            yield Slab(self._key, self._first, self._num_rows, self._sums[:, :rows].div_(total), total == 0)
            self._first += rows
            if self._first < self._num_rows:
                self._drop(rows)

    def _drop(self, rows: int) -> None:
        for kept in (*self._sums, self._total):  # one map at a time: a copy of all would double the memory
            kept[: len(kept) - rows] = kept[rows:].clone()
            kept[len(kept) - rows :] = 0

    def _weights_at(self, corner: Triple, device: torch.device) -> Tensor:
        if self._weights is None or self._layout.cores:
            weights = self._layout.weights(corner).to(device, torch.float32)
            self._weights = F.avg_pool3d(weights[None], self._cell_size)[0]
        return self._weights


def cell_size(values: Tensor, extent: Triple) -> Triple:
    """Return how many voxels a cell of ``values`` (maps, ...) spans if all span ``extent`` voxels."""
    first, second, third = (voxels // cells for voxels, cells in zip(extent, values.shape[1:], strict=True))
    return first, second, third
