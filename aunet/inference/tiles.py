"""The inferer ``tiled``: tiles of one size whose cores fill the volume, each computed with a halo around it.

If the halo is as wide as the network sees, the result is that of ``whole_volume``; ``cut_difference`` bounds the
difference if it is narrower.
"""

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from aunet.inference.window_layout import Box, Triple, WindowLayout, as_triple, margin_before, padded_size, round_up

_log = logging.getLogger(__name__)
# Tiles along one axis: more have cores thinner than any halo.
_MOST_TILES = 32
# Voxels computed per voxel of the volume up to which the halo widens by itself. Overlapping windows compute up to 8.
_MOST_COMPUTED = 4
# Share of the network's reach that a halo spans, and the largest difference to the whole volume in probability beside
# the cuts. Measured on random and on hardly trained weights of three and five levels, on noise and on blocks, and
# rounded up; after some training it is a tenth of it. ``tests/inference/test_tiles.py`` measures it again.
_CUT_DIFFERENCES = ((1.0, 1e-5), (0.9, 1e-3), (0.75, 0.03), (0.6, 0.15), (0.45, 0.4))


class Tiled:
    """The inferer ``tiled``: tiles of one size whose cores fill the volume, each with a halo on its inner sides.

    Tiles start at multiples of the network's size multiple, so that their coarser grids are those of the whole volume.

    Args:
        patch_size: of the training; a shorter volume is padded to it.
        size_multiple: of the network.
        measure_reach: returns how many voxels beyond a cut the network's output changes, along each axis.
        most_voxels: returns how many voxels a pass may have. The tiles are those that compute the fewest voxels in all.
        halo: voxels around a core, at most those of ``measure_reach``; None for as many of them as fit, up to four
            computed voxels per voxel of the volume.
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
        self._plans: dict[Triple, tuple[Triple, Triple]] = {}
        self._logged: set[Triple] = set()

    @cached_property
    def reach(self) -> Triple:
        """Return how many voxels beyond a cut the network's output changes, along each axis."""
        return as_triple(self._measure_reach())

    @cached_property
    def most_voxels(self) -> int:
        """Return how many voxels a pass may have; measured once, so that equal volumes have equal tiles."""
        return self._most_voxels()

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Lay tiles over a volume of ``size`` (voxels)."""
        padded = padded_size(size, self.patch_size, self.size_multiple)
        before = margin_before(size, padded)
        if self._tile_size is None and math.prod(padded) <= self.most_voxels:
            return WindowLayout(as_triple(size), padded, before, padded, ((0, 0, 0),))
        halo, tile = self._plan(padded)
        axes = zip(padded, tile, halo, self.size_multiple, strict=True)
        starts = [_tile_starts(*axis) for axis in axes]
        axes = zip(starts, padded, tile, self.size_multiple, strict=True)
        cores = [_cores(*axis) for axis in axes]
        corners = [as_triple(corner) for corner in itertools.product(*starts)]
        boxes: dict[Triple, Box] = {
            corner: (first, second, third)
            for corner, (first, second, third) in zip(corners, itertools.product(*cores), strict=True)
        }
        return WindowLayout(as_triple(size), padded, before, tile, tuple(corners), boxes if len(corners) > 1 else {})

    def _plan(self, padded: Triple) -> tuple[Triple, Triple]:
        """Return the halo and the tile for a volume of ``padded`` voxels."""
        if padded not in self._plans:
            self._plans[padded] = self._choose(padded)
            self._report(padded, *self._plans[padded])
        return self._plans[padded]

    def _report(self, padded: Triple, halo: Triple, tile: Triple) -> None:
        """Log a halo that is cut short, with what it changes; once for each."""
        cut = [axis for axis in range(3) if tile[axis] < padded[axis] and halo[axis] < self.reach[axis]]
        if not cut or halo in self._logged:
            return
        self._logged.add(halo)
        _log.info(
            "Inferer: a halo of %s voxels around tiles, of %s that the network sees. Where tiles meet, probabilities of"
            " an untrained network differ from those of the whole volume by up to %g, of a trained one by less."
            " inference.halo=1000 is exact, and slow.",
            "x".join(map(str, halo)),
            "x".join(map(str, self.reach)),
            cut_difference(min(halo[axis] / self.reach[axis] for axis in cut)),
        )

    def _choose(self, padded: Triple) -> tuple[Triple, Triple]:
        """Return the given halo, or the widest one that is affordable, else the narrowest one; and its tile."""
        if self._halo is not None:
            halo = self._round_halo([min(reach, self._halo) for reach in self.reach])
            return halo, self._tile(padded, halo)
        halo, tile = as_triple([0, 0, 0]), padded
        num_steps = max(1, *(-(-reach // unit) for reach, unit in zip(self.reach, self.size_multiple, strict=True)))
        for step in range(num_steps, 0, -1):
            halo = self._round_halo([math.ceil(reach * step / num_steps) for reach in self.reach])
            tile = self._tile(padded, halo)
            if self._is_affordable(padded, halo, tile):
                break
        return halo, tile

    def _round_halo(self, lengths: Sequence[int]) -> Triple:
        return as_triple([round_up(length, unit) for length, unit in zip(lengths, self.size_multiple, strict=True)])

    def _is_affordable(self, padded: Triple, halo: Triple, tile: Triple) -> bool:
        """Return whether tiles fit and compute few voxels; a tile of a given size fits if the halo leaves it as is."""
        if self._tile_size is None:
            fits = math.prod(tile) <= self.most_voxels
        else:
            fits = all(
                side <= round_up(given, unit)
                for side, given, unit in zip(tile, self._tile_size, self.size_multiple, strict=True)
            )
        axes = zip(padded, tile, halo, self.size_multiple, strict=True)
        computed = math.prod(tile) * math.prod(len(_tile_starts(*axis)) for axis in axes)
        return fits and computed <= _MOST_COMPUTED * math.prod(padded)

    def _tile(self, padded: Triple, halo: Triple) -> Triple:
        return self._fitting_tile(padded, halo) if self._tile_size is None else self._given_tile(padded, halo)

    def _given_tile(self, padded: Triple, halo: Triple) -> Triple:
        """Return the given size, at least a halo on both sides and one multiple between them."""
        axes = zip(padded, self._tile_size or padded, halo, self.size_multiple, strict=True)
        return as_triple([min(length, max(round_up(tile, unit), 2 * side + unit)) for length, tile, side, unit in axes])

    def _fitting_tile(self, padded: Triple, halo: Triple) -> Triple:
        """Return the tile that computes the fewest voxels in all among those that fit; the smallest if none does."""
        choices = [_tile_choices(*axis) for axis in zip(padded, halo, self.size_multiple, strict=True)]
        sides = [np.array(list(choice), dtype=np.int64) for choice in choices]
        numbers = [np.array(list(choice.values()), dtype=np.int64) for choice in choices]
        voxels = np.einsum("i,j,k->ijk", *sides)
        computed = voxels * np.einsum("i,j,k->ijk", *numbers)
        fits = voxels <= self.most_voxels
        best = np.where(fits, computed, np.iinfo(np.int64).max).argmin() if fits.any() else voxels.argmin()
        places = np.unravel_index(best, voxels.shape)
        return as_triple([int(side[place]) for side, place in zip(sides, places, strict=True)])


def cut_difference(share: float) -> float:
    """Return how much probabilities beside a cut may differ from the whole volume's at most, in [0, 1].

    Args:
        share: of the network's reach (``Tiled.reach``) that the halo spans.
    """
    return next((difference for least, difference in _CUT_DIFFERENCES if share >= least), 1.0)


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


def _tile_choices(length: int, halo: int, multiple: int) -> dict[int, int]:
    """Return the tiles (voxels) of which 1, 2, ... cover an axis of ``length``, with their number."""
    choices: dict[int, int] = {length: 1}
    for number in range(2, _MOST_TILES + 1):
        tile = max(round_up(math.ceil((length + 2 * halo * (number - 1)) / number), multiple), 2 * halo + multiple)
        if tile < length:
            choices[tile] = len(_tile_starts(length, tile, halo, multiple))
    return choices
