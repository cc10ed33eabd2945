"""2D networks applied to volumes: each slice along the last axis by itself.

A 2D image is a volume one voxel thick, so that images, slices of scans and volumes share one path through the data.
"""

import torch
from torch import Tensor, nn

from aunet.networks.protocols import (
    AttentionNetwork,
    SizedNetwork,
    gates_per_skip,
    has_softmax_gates,
    supervised_logits,
)


class SliceBySlice(nn.Module):
    """Any 2D network with ``forward(image) -> logits``, applied to volumes (B, C, H, W, D).

    It has the protocols of the 2D network: attention, supervised logits, size multiple (``aunet.networks.protocols``).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        if isinstance(network, SizedNetwork):
            self.size_multiple = (*network.size_multiple, 1)

    @property
    def is_softmax_gate(self) -> bool:
        """Return the network's ``is_softmax_gate``; false if it has none."""
        return has_softmax_gates(self.network)

    @property
    def num_gates(self) -> int | None:
        """Return the network's number of gates per skip; None if it has no gates."""
        return gates_per_skip(self.network)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W, D) for an image (B, C, H, W, D)."""
        return as_volumes(self.network(_as_slices(image)), image)

    def forward_with_attention(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return logits (B, K, H, W, D) and {level: coefficients (B, M, h, w, D)}, which is empty without gates."""
        if not isinstance(self.network, AttentionNetwork):
            return self(image), {}
        logits, coefficients = self.network.forward_with_attention(_as_slices(image))
        return as_volumes(logits, image), {level: as_volumes(maps, image) for level, maps in coefficients.items()}

    def supervised_logits(self, image: Tensor) -> list[Tensor]:
        """Return the logits that have a loss, each (B, K, h, w, D), for an image (B, C, H, W, D)."""
        return [as_volumes(logits, image) for logits in supervised_logits(self.network, _as_slices(image))]


def unwrap(network: nn.Module) -> nn.Module:
    """Return the 2D network inside a ``SliceBySlice``; any other network itself."""
    return network.network if isinstance(network, SliceBySlice) else network


def _as_slices(volumes: Tensor) -> Tensor:
    """Reshape (B, C, H, W, D) -> (B * D, C, H, W)."""
    return volumes.movedim(-1, 1).flatten(0, 1)


def as_volumes(slices: Tensor, volumes: Tensor) -> Tensor:
    """Reshape (B * D, C, h, w) -> (B, C, h, w, D), with B and D of ``volumes``."""
    return torch.unflatten(slices, 0, (volumes.shape[0], volumes.shape[-1])).movedim(1, -1)
