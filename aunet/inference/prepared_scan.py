"""A scan as networks take it: prepared once, so that the voxels of its files need not stay in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from aunet.data.io.grid import Affine, Shape
from aunet.data.preprocessing.region import Box


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
