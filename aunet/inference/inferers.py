"""The ways to predict a whole volume, called inferers: each lays windows over a volume of any size.

``sliding_window`` (``aunet.inference.window_layout.Window``) averages overlapping windows of the training's patch size.
``whole_volume`` runs the network once over the padded volume. ``tiled`` runs it over tiles and keeps the core of each:
if the halo around a core is as wide as the network sees, the result is that of ``whole_volume``. ``auto`` takes
``whole_volume`` if it fits into memory, else ``tiled``.
"""

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

from aunet.inference.window_layout import Box, Triple, WindowLayout, as_triple, round_up

_log = logging.getLogger(__name__)
# Tiles along one axis: more have cores thinner than any halo.
_MOST_TILES = 32
# Share of the training's patch to which the halo is limited by default. Beyond a quarter, tiles would cost as much as
# the overlapping windows, whose voxels see no farther on average.
_HALO_SHARE = 0.25


class Inferer(Protocol):
    """A way to predict whole volumes, shared by validation, test, ``aunet predict`` and Python."""

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Return the size of the training's patches (voxels)."""
        ...

    @property
    def size_multiple(self) -> tuple[int, ...]:
        """Return the numbers of which the sides of every window are multiples."""
        ...

    @property
    def window_batch(self) -> int:
        """Return how many windows are predicted at once."""
        ...

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Lay windows over a volume of ``size`` (voxels); the padded size yields the same windows."""
        ...


class WholeVolume:
    """The inferer ``whole_volume``: one pass over the volume, padded to multiples of the network's size multiple.

    A volume shorter than the training's patch is padded to it, as for the sliding window.
    """

    def __init__(self, patch_size: tuple[int, ...], size_multiple: tuple[int, ...]) -> None:
        self.patch_size = patch_size
        self.size_multiple = size_multiple
        self.window_batch = 1

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Return one window over the padded volume."""
        padded = padded_size(size, self.patch_size, self.size_multiple)
        return WindowLayout(as_triple(size), padded, _before(size, padded), padded, ((0, 0, 0),))


class Tiled:
    """The inferer ``tiled``: tiles of one size whose cores fill the volume, each with a halo on its inner sides.

    Tiles start at multiples of the network's size multiple, so that their coarser grids are those of the whole volume.

    Args:
        patch_size: of the training; a shorter volume is padded to it.
        size_multiple: of the network.
        measure_reach: returns how many voxels beyond a cut the network's output changes, along each axis.
        most_voxels: returns how many voxels a pass may have. The tiles are those that compute the fewest voxels in all.
        halo: voxels around a core, at most those of ``measure_reach``; None also limits it to a quarter of the patch.
        tile_size: of every tile, instead of the one chosen by ``most_voxels``.
        window_batch: tiles predicted at once.
    """

    def __init__(
        self,
        patch_size: tuple[int, ...],
        size_multiple: tuple[int, ...],
        measure_reach: Callable[[], Sequence[int]],
        most_voxels: Callable[[], int],
        halo: int | None = None,
        tile_size: Sequence[int] | None = None,
        window_batch: int = 1,
    ) -> None:
        self.patch_size = patch_size
        self.size_multiple = size_multiple
        self.window_batch = window_batch
        self._measure_reach = measure_reach
        self._most_voxels = most_voxels
        self._halo = halo
        self._tile_size = tile_size

    @cached_property
    def halo(self) -> Triple:
        """Return the voxels around a core along each axis, multiples of the size multiple."""
        halo: list[int] = []
        for reach, patch, multiple in zip(self._measure_reach(), self.patch_size, self.size_multiple, strict=True):
            limit = int(patch * _HALO_SHARE) if self._halo is None else self._halo
            halo.append(round_up(min(reach, limit), multiple))
        return as_triple(halo)

    @cached_property
    def most_voxels(self) -> int:
        """Return how many voxels a pass may have; measured once, so that equal volumes have equal tiles."""
        return self._most_voxels()

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Lay tiles over a volume of ``size`` (voxels)."""
        padded = padded_size(size, self.patch_size, self.size_multiple)
        before = _before(size, padded)
        if self._tile_size is None and math.prod(padded) <= self.most_voxels:
            return WindowLayout(as_triple(size), padded, before, padded, ((0, 0, 0),))
        tile = self._fitting_tile(padded) if self._tile_size is None else self._given_tile(padded)
        axes = zip(padded, tile, self.halo, self.size_multiple, strict=True)
        starts = [_tile_starts(*axis) for axis in axes]
        axes = zip(starts, padded, tile, self.size_multiple, strict=True)
        cores = [_cores(*axis) for axis in axes]
        corners = [as_triple(corner) for corner in itertools.product(*starts)]
        boxes: dict[Triple, Box] = {
            corner: (first, second, third)
            for corner, (first, second, third) in zip(corners, itertools.product(*cores), strict=True)
        }
        return WindowLayout(as_triple(size), padded, before, tile, tuple(corners), boxes if len(corners) > 1 else {})

    def _given_tile(self, padded: Triple) -> Triple:
        """Return the given size, at least a halo on both sides and one multiple between them."""
        axes = zip(padded, self._tile_size or padded, self.halo, self.size_multiple, strict=True)
        return as_triple([min(length, max(round_up(tile, unit), 2 * halo + unit)) for length, tile, halo, unit in axes])

    def _fitting_tile(self, padded: Triple) -> Triple:
        """Return the tile that computes the fewest voxels in all among those that fit; the smallest if none does."""
        axes = zip(padded, self.halo, self.size_multiple, strict=True)
        choices = list(itertools.product(*(_tile_choices(*axis) for axis in axes)))
        fitting = [choice for choice in choices if _voxels(choice) <= self.most_voxels]
        best = min(fitting, key=_computed_voxels) if fitting else min(choices, key=_voxels)
        return as_triple([tile for tile, _ in best])


class AutomaticInferer:
    """The inferer ``auto``: ``whole_volume`` if it fits into memory, else ``tiled``; it logs which, if that changes."""

    def __init__(self, tiled: Tiled) -> None:
        self.patch_size = tiled.patch_size
        self.size_multiple = tiled.size_multiple
        self.window_batch = tiled.window_batch
        self._tiled = tiled
        self._logged = ""

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Lay one window or tiles over a volume of ``size`` (voxels)."""
        layout = self._tiled.lay_out(size)
        described = f"tiles of {'x'.join(map(str, layout.window))}" if layout.cores else "the whole volume in one pass"
        if described != self._logged:
            self._logged = described
            _log.info(
                "Inferer: %s; a volume of %s voxels, at most %.1f million fit into memory at once.",
                described,
                "x".join(map(str, size)),
                self._tiled.most_voxels / 1e6,
            )
        return layout


def padded_size(size: Sequence[int], patch_size: Sequence[int], size_multiple: Sequence[int]) -> Triple:
    """Return ``size`` (voxels), at least that of the patch, rounded up to multiples."""
    axes = zip(size, patch_size, size_multiple, strict=True)
    return as_triple([max(round_up(length, unit), round_up(patch, unit)) for length, patch, unit in axes])


def _before(size: Sequence[int], padded: Triple) -> Triple:
    return as_triple([(outer - inner) // 2 for outer, inner in zip(padded, size, strict=True)])


def _tile_starts(length: int, tile: int, halo: int, multiple: int) -> list[int]:
    """Return the evenly spread first voxels of the tiles along one axis; neighbours share two halos at least."""
    if tile == length:
        return [0]
    rest, step = (length - tile) // multiple, (tile - 2 * halo) // multiple
    intervals = math.ceil(rest / step)
    return [0, *(multiple * (index * rest // intervals) for index in range(1, intervals + 1))]


def _cores(starts: Sequence[int], length: int, tile: int, multiple: int) -> list[slice]:
    """Return the core of each tile along one axis, in voxels of the tile: up to the middle of what neighbours share."""
    shared = [before + tile - after for before, after in itertools.pairwise(starts)]
    borders = [0, *(start + rest // 2 // multiple * multiple for start, rest in zip(starts[1:], shared, strict=True))]
    ends = [*borders[1:], length]
    return [slice(first - start, end - start) for start, first, end in zip(starts, borders, ends, strict=True)]


def _tile_choices(length: int, halo: int, multiple: int) -> list[tuple[int, int]]:
    """Return the tiles (voxels) of which 1, 2, ... cover an axis of ``length``, with their number."""
    choices: dict[int, int] = {length: 1}
    for number in range(2, _MOST_TILES + 1):
        tile = max(round_up(math.ceil((length + 2 * halo * (number - 1)) / number), multiple), 2 * halo + multiple)
        if tile < length:
            choices[tile] = len(_tile_starts(length, tile, halo, multiple))
    return list(choices.items())


def _voxels(choice: Sequence[tuple[int, int]]) -> int:
    return math.prod(tile for tile, _ in choice)


def _computed_voxels(choice: Sequence[tuple[int, int]]) -> int:
    return math.prod(tile * number for tile, number in choice)
