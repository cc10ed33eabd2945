"""The coefficients of each gate of a network: averaged over a gate's maps, and at the voxels of a scan."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aunet.data.preprocessing.resampling import Affine, GridMapping
from aunet.errors import UserError
from aunet.inference.coefficients import LevelCoefficients
from aunet.networks import UNet
from aunet.networks.gates import IdentitySkip
from aunet.networks.protocols import AttentionNetwork, has_softmax_gates
from aunet.networks.slice_by_slice import unwrap


def average_gates(level: LevelCoefficients, num_gates: int) -> LevelCoefficients:
    """Return one map per gate, the mean of its maps; a gate may have a map for each channel."""
    maps = torch.from_numpy(level.values).unflatten(0, (num_gates, -1))
    return replace(level, values=maps.mean(dim=1).numpy())


def gate_volumes(
    levels: Iterable[LevelCoefficients],
    num_gates: int | None,
    affine: Affine,
    native_shape: Sequence[int],
    native_affine: Affine,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name of each gate, such as ``level_2_gate_1``, and its coefficients at the voxels of a scan.

    ``num_gates`` are those of a skip, None if each map is a gate; ``affine`` is that of the image of the coefficients.
    """
    for level in levels:
        gates = average_gates(level, num_gates or len(level.values))
        for gate, values in enumerate(_at_voxels(gates, affine, native_shape, native_affine), start=1):
            yield f"level_{level.level}" + (f"_gate_{gate}" if len(gates.values) > 1 else ""), values


def check_attention(network: nn.Module) -> None:
    """Raise UserError if ``network`` has no coefficients over a whole scan."""
    inner = unwrap(network)
    is_ungated = isinstance(inner, UNet) and all(isinstance(skip, IdentitySkip) for skip in inner.skips)
    if is_ungated or not isinstance(inner, AttentionNetwork):
        raise UserError("--attention: this run's network has no gates. Leave it out, or name a run with gates.")
    if has_softmax_gates(network):
        raise UserError(
            "--attention: the softmax gates of this run's network compete over a window, so a whole scan has no"
            " coefficients. Leave it out."
        )


def _at_voxels(
    level: LevelCoefficients, affine: Affine, native_shape: Sequence[int], native_affine: Affine
) -> Iterator[NDArray[np.float32]]:
    """Yield each map (H, W, D) at the voxels of a scan, between the centres of cells interpolated linearly.

    ``affine`` is that of the image, whose axes are parallel to the scan's. Beyond the outermost centre the value of
    the outermost cell continues.
    """
    cells = affine @ np.diag([*level.cell_size, 1.0])
    # The centre of the first cell, in voxels of the image, whose first voxel has its centre at 0.
    middle = np.array(level.offset) + np.array(level.cell_size) / 2 - 0.5
    cells[:3, 3] = affine[:3, :3] @ middle + affine[:3, 3]
    mapping = GridMapping(cells, native_shape, native_affine)
    for values in level.values:
        yield mapping.resample(torch.from_numpy(values).float()).contiguous().numpy()
