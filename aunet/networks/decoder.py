"""One level of the expanding half of the U-Net."""

import torch
from torch import Tensor, nn

from aunet.networks.blocks import DoubleConvolution
from aunet.networks.dimensions import resize_linearly


class DecoderLevel(nn.Module):
    """Upsample the coarser features, put the skip beside them, convolve twice."""

    def __init__(self, spatial_dims: int, coarse_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.block = DoubleConvolution(spatial_dims, skip_channels + coarse_channels, skip_channels)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """coarse (B, coarse, *spatial/2), skip (B, skip, *spatial) -> (B, skip, *spatial)."""
        return self.block(torch.cat([skip, resize_linearly(coarse, skip.shape[2:])], dim=1))
