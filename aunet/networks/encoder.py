"""The contracting half of the U-Net."""

from collections.abc import Sequence

from torch import Tensor, nn

from aunet.networks.blocks import DoubleConvolution
from aunet.networks.dimensions import MAX_POOLING


class Encoder(nn.Module):
    """One block a level, halving the size between levels."""

    def __init__(self, spatial_dims: int, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        inputs = (in_channels, *channels[:-1])
        self.levels = nn.ModuleList(
            DoubleConvolution(spatial_dims, before, after) for before, after in zip(inputs, channels, strict=True)
        )
        self.pooling = MAX_POOLING[spatial_dims](kernel_size=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, C, *spatial) -> the features of each level, finest first; those of level l are smaller by 2**(l-1)."""
        features = [self.levels[0](image)]
        for level in list(self.levels)[1:]:
            features.append(level(self.pooling(features[-1])))
        return features
