"""Places of the windows in which a volume is predicted, and the weights of their voxels."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

Triple = tuple[int, int, int]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class WindowLayout:
    """Windows over a volume that is padded by ``before`` voxels in front and behind up to ``padded_size``.

    Every corner and both sizes are multiples of the network's size multiple, so the coarser grids inside the network
    of all windows lie on one common grid.

    ``cores`` are the parts of the windows, by corner, that are kept if windows are tiles: they touch and do not
    overlap. Empty if overlapping windows are averaged with Gaussian weights.
    """

    size: Triple
    padded_size: Triple
    before: Triple
    window: Triple
    corners: tuple[Triple, ...]
    cores: dict[Triple, Box] = field(default_factory=dict[Triple, Box])

    @property
    def num_voxels(self) -> int:
        """Return how many voxels all windows compute."""
        return len(self.corners) * math.prod(self.window)

    def pad(self, image: Tensor) -> Tensor:
        """Pad (C, *size) -> (C, *padded_size) with zeros evenly on both sides, as training patches are padded."""
        spans = zip(self.size, self.padded_size, self.before, strict=True)
        amounts = [(first, padded - size - first) for size, padded, first in spans]
        return F.pad(image, [amount for pair in reversed(amounts) for amount in pair])

    def cut(self, padded: Tensor, corner: Triple) -> Tensor:
        """Return the window of the padded image (C, *padded_size) at ``corner``."""
        return padded[(slice(None), *window_slices(corner, self.window))]

    def cut_from(self, image: Tensor, corner: Triple) -> Tensor:
        """Return the window at ``corner`` of the padded image, cut from the image (C, *size) without a padded copy."""
        place: list[slice] = [slice(None)]
        amounts: list[int] = []
        for start, length, before, size in zip(corner, self.window, self.before, self.size, strict=True):
            low, high = (min(max(0, voxel - before), size) for voxel in (start, start + length))
            place.append(slice(low, high))
            in_front = min(max(0, before - start), length)
            amounts = [in_front, length - in_front - (high - low), *amounts]  # F.pad begins with the last axis
        return F.pad(image[tuple(place)], amounts)  # a copy, as a network may change its input in place

    def kept(self, corner: Triple) -> Box:
        """Return the voxels of the window at ``corner`` that count: its core, or all."""
        first, second, third = (slice(0, length) for length in self.window)
        return self.cores.get(corner, (first, second, third))

    def cells_over_image(self, cell: Triple) -> tuple[Box, Triple]:
        """Return which cells of ``cell`` voxels cover the image, and where the first begins, in voxels of the image."""
        axes = list(zip(self.size, self.before, cell, strict=True))
        first, second, third = (slice(before // side, -(-(before + size) // side)) for size, before, side in axes)
        return (first, second, third), as_triple([before // side * side - before for _, before, side in axes])

    def weights(self, corner: Triple) -> Tensor:
        """Return the weights (*window) of the voxels of the window at ``corner``."""
        if not self.cores:
            return self._importance
        weights = torch.zeros(self.window)
        weights[self.cores[corner]] = 1
        return weights

    @cached_property
    def _importance(self) -> Tensor:
        return self.importance()

    def importance(self) -> Tensor:
        """Return the weights (*window) of a window's voxels: Gaussian, highest in the middle, as in nnU-Net.

        Equal to MONAI's ``compute_importance_map(window, mode="gaussian", sigma_scale=0.125)``, which is not called
        because prediction would then import all of MONAI.
        """
        first, second, third = (_bell(length) for length in self.window)
        weights = first[:, None, None] * second[:, None] * third
        return weights.clamp(min=max(weights.min().item(), 1e-3))


def _bell(length: int) -> Tensor:
    """Return a Gaussian over ``length`` voxels, 1 at their centre, with an eighth of them as standard deviation."""
    half = (length - 1) / 2
    return torch.exp(torch.arange(-half, half + 1) ** 2 / (-2 * (length / 8) ** 2))


def window_slices(corner: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
    """Return slices of ``size`` voxels from ``corner``."""
    return tuple(slice(first, first + extent) for first, extent in zip(corner, size, strict=True))


@dataclass(frozen=True)
class Window:
    """The inferer ``sliding_window``: overlapping windows, averaged with Gaussian weights.

    Attributes:
        patch_size: its size (voxels of the preprocessed grid), that of the training patches.
        overlap: share that two neighbouring windows have in common, in [0, 1).
        size_multiple: the network accepts sizes that are multiples of it; windows start at multiples.
        window_batch: windows predicted at once.
        one_pass_voxels: a volume of at most this many is predicted in one pass, as a single window, which requires a
            network that does not average over all of its input (``UNet.is_local``).
    """

    patch_size: tuple[int, ...]
    overlap: float = 0.5
    size_multiple: tuple[int, ...] = (16, 16, 16)
    window_batch: int = 1
    one_pass_voxels: int = 0

    def lay_out(self, size: Sequence[int]) -> WindowLayout:
        """Lay windows over a volume of ``size`` (voxels) so that neighbours share at least about ``overlap``.

        A volume shorter than the patch is padded to it, so that the network sees the same amount of padding as in
        training. Windows are spread evenly.
        """
        assert 0 <= self.overlap < 1, f"overlap {self.overlap} is not in [0, 1)"
        padded = padded_size(size, self.patch_size, self.size_multiple)
        is_one_pass = math.prod(padded) <= self.one_pass_voxels
        window = padded if is_one_pass else as_triple(list(map(round_up, self.patch_size, self.size_multiple)))
        starts = [
            _starts(length, extent, self.overlap, multiple)
            for length, extent, multiple in zip(padded, window, self.size_multiple, strict=True)
        ]
        corners = tuple(as_triple(corner) for corner in itertools.product(*starts))
        return WindowLayout(as_triple(size), padded, margin_before(size, padded), window, corners)


def _starts(length: int, window: int, overlap: float, multiple: int) -> list[int]:
    """Return the first voxels of the windows along one axis: 0, ..., the last window at the end; all multiples."""
    rest = length - window
    intervals = math.ceil(rest / (window * (1 - overlap)) - 1e-9)
    steps = rest // multiple
    places = [(2 * index * steps + intervals) // (2 * intervals) for index in range(1, intervals + 1)]
    return [0, *(multiple * place for place in dict.fromkeys(places) if place > 0)]


def padded_size(size: Sequence[int], patch_size: Sequence[int], size_multiple: Sequence[int]) -> Triple:
    """Return ``size`` (voxels), at least that of the patch, rounded up to multiples."""
    axes = zip(size, patch_size, size_multiple, strict=True)
    return as_triple([max(round_up(length, unit), round_up(patch, unit)) for length, patch, unit in axes])


def margin_before(size: Sequence[int], padded: Triple) -> Triple:
    """Return the voxels in front of a volume of ``size`` that is padded evenly to ``padded``."""
    return as_triple([(outer - inner) // 2 for outer, inner in zip(padded, size, strict=True)])


def round_up(length: int, multiple: int) -> int:
    """Return the smallest multiple that is not below ``length``."""
    return -(-length // multiple) * multiple


def as_triple(values: Sequence[int]) -> Triple:
    """Return three whole numbers as a tuple."""
    first, second, third = values
    return int(first), int(second), int(third)
