"""The contracting half of the U-Net."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from aunet.networks.blocks import BlockFactory
from aunet.networks.layers import Layers
from aunet.networks.recomputation import recompute


class Encoder(nn.Module):
    """One block a level, max pooling between levels."""

    def __init__(
        self,
        layers: Layers,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernel_sizes: Sequence[Sequence[int]],
        block: BlockFactory,
        recomputed_levels: Collection[int] = (),
    ) -> None:
        super().__init__()
        self.recomputed_levels = frozenset(recomputed_levels)
        inputs = (in_channels, *channels[:-1])
        self.levels = nn.ModuleList(
            block(layers, before, after, kernel)
            for before, after, kernel in zip(inputs, channels, kernel_sizes, strict=True)
        )
        self.pooling = nn.ModuleList([nn.Identity(), *(layers.max_pooling(stride) for stride in strides)])

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, C, *spatial) -> the features of each level, finest first."""
        features: list[Tensor] = []
        coarse = image
        for number, (pooling, level) in enumerate(zip(self.pooling, self.levels, strict=True), start=1):
            with torch.autocast(coarse.device.type, enabled=False):  # would pool in float32 on a processor
                coarse = pooling(coarse)
            coarse = recompute(level, level, coarse) if number in self.recomputed_levels else level(coarse)
            features.append(coarse)
        return features
