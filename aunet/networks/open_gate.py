"""A gate frozen open: everything that a gate adds to a skip but the attention, as a control."""

import torch
from torch import Tensor

from aunet.networks.gates import GridGate
from aunet.networks.layers import Layers, PerAxis


class OpenGate(GridGate):
    """A gate whose coefficients are 1 everywhere, so that only its output transform remains.

    A network of these separates the effect of the attention from that of the convolutions around it. Its initial
    weights are drawn as those of ``GridGate``, so for one seed both networks start alike wherever both have weights.

    Args:
        layers: the network's layers.
        skip_channels: F.
        gating_channels: G.
        stride: of the grid of a ``GridGate``; without effect on the coefficients.
        has_output_transform: whether a 1x1 convolution and a norm follow, as in ``GridGate``.
    """

    def __init__(
        self,
        layers: Layers,
        skip_channels: int,
        gating_channels: int,
        stride: PerAxis = 2,
        has_output_transform: bool = True,
    ) -> None:
        super().__init__(layers, skip_channels, gating_channels, stride, has_output_transform=has_output_transform)
        # Weights without effect would count as parameters, and stop a distributed training, which waits for gradients.
        del self.theta, self.phi, self.psi

    def scores(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Return a score of 0 for each voxel of ``skip``: (B, 1, *spatial)."""
        return torch.zeros_like(skip[:, :1])

    def coefficients(self, scores: Tensor) -> Tensor:
        """Return coefficients of 1, shaped as ``scores``."""
        return torch.ones_like(scores)
