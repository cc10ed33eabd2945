"""Label maps on another grid: each voxel takes the class that fills most of it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aunet.data.preprocessing.resampling import GridMapping

# Shares closer than this are ties. Far above the rounding of float32, far below the share of any voxel that counts.
_TIE = 1e-4
# Voxels along each side of the blocks in which one order of the classes decides ties.
_BLOCK = 4
_NUM_ORDERS = 64


def resample_label(label: Tensor, mapping: GridMapping) -> Tensor:
    """Return ``label`` (H, W, D) uint8 on the target grid of ``mapping``: the class with the largest share.

    At a tie neighbouring voxels take either class in turn, like a checkerboard, so that no class grows. A plate one
    voxel thin keeps its volume when the spacing doubles, in every other of its voxels. A structure that fills less than
    half of every voxel vanishes. A ball of radius r loses about h^2 / (4 r^2) of its volume at a voxel of side h, as
    the majority cuts off curved borders: 1 % at 10 and 2 mm.
    """
    values: list[int] = torch.unique(label).tolist()
    turns, precedence = _turns(mapping.shape), _precedence(len(values))
    winner = torch.zeros(mapping.shape, dtype=torch.uint8)
    highest = torch.full(mapping.shape, -1.0)
    for value, order in zip(values, precedence, strict=True):
        share = mapping.resample((label == value).float())
        for slab, turn in zip(share, turns, strict=True):  # one at a time, as indices take eight bytes a voxel
            slab += _TIE * order[turn.long()]
        winner.masked_fill_(share > highest, value)
        torch.maximum(highest, share, out=highest)
    return winner


def resample_label_linearly(label: Tensor, mapping: GridMapping) -> Tensor:
    """Return ``label`` as runs of earlier versions resampled it: ties go to the lowest class, the background last."""
    values: list[int] = torch.unique(label).tolist()
    foreground_first = [*(value for value in values if value != 0), *(value for value in values if value == 0)]
    share = mapping.resample((label == foreground_first[0]).float())
    winner = torch.full_like(share, foreground_first[0], dtype=torch.uint8)
    for value in foreground_first[1:]:
        candidate = mapping.resample((label == value).float())
        winner.masked_fill_(candidate > share, value)
        share = torch.maximum(share, candidate)
    return winner


def _turns(shape: Sequence[int]) -> Tensor:
    """Return which column of ``_precedence`` holds at each voxel: neighbours have opposite orders, blocks unlike ones.

    Blocks with orders of their own keep ties unbiased along a diagonal plane, where a lone checkerboard has one colour.
    """
    blocks = [-(-length // _BLOCK) for length in shape]
    orders = torch.from_numpy(2 * np.random.default_rng(0).integers(_NUM_ORDERS, size=blocks, dtype=np.uint8))
    for axis, length in enumerate(shape):
        orders = orders.repeat_interleave(_BLOCK, axis).narrow(axis, 0, length)
    first, second, third = (torch.arange(length, dtype=torch.uint8) % 2 for length in shape)
    parity = (first[:, None, None] + second[:, None] + third) % 2
    return orders + parity


def _precedence(num_values: int) -> Tensor:
    """Return a number in [0, 1] for each value and turn (values, 2 * orders): the highest of those at a tie wins.

    Turns 2k and 2k + 1 are a random order of the values and its reverse, so each of two values wins exactly half.
    """
    draw = np.random.default_rng(0)
    orders = np.stack([draw.permutation(num_values) for _ in range(_NUM_ORDERS)]) / max(1, num_values - 1)
    both: NDArray[np.float64] = np.stack([orders, 1 - orders], axis=1).reshape(2 * _NUM_ORDERS, num_values)
    return torch.from_numpy(both.T).float()
