"""The coefficients of a gated level over an image: one form from the network to files and pictures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from aunet.data.preprocessing.resampling import Affine, GridMapping
from aunet.errors import UserError
from aunet.networks import UNet
from aunet.networks.gates import IdentitySkip
from aunet.networks.protocols import AttentionNetwork, has_softmax_gates
from aunet.networks.slice_by_slice import unwrap


@dataclass(frozen=True)
class LevelCoefficients:
    """The coefficients of one gated level over an image: ``values`` (maps, h, w, d).

    Along each axis, cell ``i`` covers the voxels of the image from ``offset + i * cell_size`` to
    ``offset + (i + 1) * cell_size``; it may extend beyond the image's edge.

    Examples:
        >>> level = LevelCoefficients(2, np.array([[[[0.1, 0.7]]]]), cell_size=(4.0, 4.0, 2.0))
        >>> level.axial_plane(3).tolist()
        [[[0.7]]]
    """

    level: int
    values: NDArray[np.floating]
    cell_size: tuple[float, float, float]
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def axial_plane(self, index: int) -> NDArray[np.floating]:
        """Return the cells (maps, h, w) over the voxels with ``index`` along axis 2."""
        cell = int((index + 0.5 - self.offset[2]) // self.cell_size[2])
        return self.values[..., min(max(cell, 0), self.values.shape[3] - 1)]

    def average_gates(self, num_gates: int) -> Self:
        """Return one map per gate, the mean of its maps; a gate may have a map for each channel."""
        maps = torch.from_numpy(self.values).unflatten(0, (num_gates, -1))
        return replace(self, values=maps.mean(dim=1).numpy())

    def at_voxels(
        self, affine: Affine, native_shape: Sequence[int], native_affine: Affine
    ) -> Iterator[NDArray[np.float32]]:
        """Yield each map (H, W, D) at the voxels of a scan, between the centres of cells interpolated linearly.

        ``affine`` is that of the image, whose axes are parallel to the scan's. Beyond the outermost centre the value of
        the outermost cell continues.
        """
        cells = affine @ np.diag([*self.cell_size, 1.0])
        # The centre of the first cell, in voxels of the image, whose first voxel has its centre at 0.
        middle = np.array(self.offset) + np.array(self.cell_size) / 2 - 0.5
        cells[:3, 3] = affine[:3, :3] @ middle + affine[:3, 3]
        mapping = GridMapping(cells, native_shape, native_affine)
        for values in self.values:
            yield mapping.resample(torch.from_numpy(values).float()).contiguous().numpy()


def gate_volumes(
    levels: Iterable[LevelCoefficients],
    num_gates: int | None,
    affine: Affine,
    native_shape: Sequence[int],
    native_affine: Affine,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the name of each gate, such as ``level_2_gate_1``, and its coefficients at the voxels of a scan.

    ``num_gates`` are those of a skip, None if each map is a gate; the others are as in ``at_voxels``.
    """
    for level in levels:
        gates = level.average_gates(num_gates or len(level.values))
        for gate, values in enumerate(gates.at_voxels(affine, native_shape, native_affine), start=1):
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
