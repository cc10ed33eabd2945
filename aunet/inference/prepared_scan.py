"""A scan as networks take it: prepared once, so that the voxels of its files need not stay in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from aunet.data.io.grid import Affine, Shape
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import Box
from aunet.errors import UserError


@dataclass(frozen=True)
class NetworkInput:
    """The part of a scan that one network labels, preprocessed.

    Attributes:
        image: (C, h, w, d) float32, on the network's device.
        affine: of ``image``, voxel -> RAS+ mm.
        box: the part, in voxels of the scan.
        grid: of the part: its shape (H, W, D) and affine.
        body: voxels of ``image`` (h, w, d) that belong to the body, if air is skipped.
    """

    image: Tensor
    affine: Affine
    box: Box
    grid: tuple[Shape, Affine]
    body: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class PreparedScan:
    """The grid of a scan, its shape (H, W, D) and affine (voxel -> RAS+ mm), with the input of each network."""

    shape: Shape
    affine: Affine
    inputs: tuple[NetworkInput, ...]


def check_channels(channels: Sequence[Volume], expected: int | None) -> None:
    """Raise UserError for another number of channels (None: any), and for NaN in memory; files with NaN are refused."""
    if any(channel.path is None and not np.isfinite(channel.array).all() for channel in channels):
        raise UserError(f"{channels[0].name}: holds NaN or infinite voxels; replace them by numbers.")
    if expected not in (None, len(channels)):
        names = ", ".join(dict.fromkeys(channel.name for channel in channels)) or "no file"
        raise UserError(
            f"{names}: {len(channels)} channels; the network was trained on {expected}. Give one scan of that many"
            " channels."
        )
