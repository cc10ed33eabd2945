"""One level of the expanding half of the U-Net."""

from typing import Literal

import torch
from torch import Tensor, nn

from aunet.networks.blocks import BlockFactory
from aunet.networks.layers import Layers, PerAxis
from aunet.networks.linear_resizing import resize_linearly
from aunet.networks.memory_layout import keep_layout_in_backward
from aunet.networks.recomputation import recompute

Upsampling = Literal["linear", "transposed"]


class DecoderLevel(nn.Module):
    """Upsample the coarser features, put the skip beside them, one block.

    ``upsampling`` is "linear" (bilinear or trilinear, the paper's) or "transposed", a learned convolution to the
    skip's width.
    """

    def __init__(
        self,
        layers: Layers,
        coarse_channels: int,
        skip_channels: int,
        stride: PerAxis,
        kernel_size: PerAxis,
        block: BlockFactory,
        upsampling: Upsampling = "linear",
        is_recomputed: bool = False,
    ) -> None:
        super().__init__()
        self.is_recomputed = is_recomputed
        self.upsampling: nn.Module = nn.Identity()
        if upsampling == "transposed":
            self.upsampling = layers.transposed_convolution(coarse_channels, skip_channels, stride)
            coarse_channels = skip_channels
        self.block = block(layers, skip_channels + coarse_channels, skip_channels, kernel_size)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """coarse (B, coarse, *spatial / stride), skip (B, skip, *spatial) -> (B, skip, *spatial)."""
        return recompute(self, self._merge, coarse, skip) if self.is_recomputed else self._merge(coarse, skip)

    def _merge(self, coarse: Tensor, skip: Tensor) -> Tensor:
        upsampled = resize_linearly(self.upsampling(coarse), skip.shape[2:])
        parts = [keep_layout_in_backward(part) for part in (skip, upsampled)]
        return self.block(torch.cat(parts, dim=1))
