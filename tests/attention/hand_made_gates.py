"""Attention U-Nets whose answer depends on their gate in a known way."""

import torch
from torch import Tensor

from aunet.networks import AttentionUNet, GridGate


class Brightness(GridGate):
    """A gate at full resolution that opens where the gating signal's first channel is above 0.5."""

    def scores(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Return steep scores (B, 1, *spatial) of each voxel alone."""
        return 50 * (gating[:, :1] - 0.5).float()


class OnlyPath(AttentionUNet):
    """Class 1 is where the gate at level 1 is open; nothing else of the image reaches the logits."""

    def __init__(self) -> None:
        super().__init__(channels=(1, 1), num_classes=2, gated_levels=[])
        self.skips[0] = Brightness(self.layers, 1, 1, stride=1, has_output_transform=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, 2, *spatial)."""
        return self.forward_with_attention(image)[0]

    def forward_with_attention(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return logits and {1: coefficients}, by one gate that sees each voxel of the image alone."""
        gated, coefficients = self.skips[0](torch.ones_like(image), image)
        return self.answer(gated, image), {1: coefficients}

    def answer(self, gated: Tensor, image: Tensor) -> Tensor:
        """Return logits (B, 2, *spatial)."""
        return torch.cat([0.5 - gated, gated - 0.5], dim=1)


class Ignored(OnlyPath):
    """As ``OnlyPath``, but class 1 is where the image is bright: the gate is followed by nothing."""

    def answer(self, gated: Tensor, image: Tensor) -> Tensor:
        """Return logits (B, 2, *spatial)."""
        return super().answer(image[:, :1], image)
