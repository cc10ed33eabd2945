"""Heads, which turn the features of the decoder into logits.

``head(layers, channels, num_classes)`` builds a head. It returns a list: the logits (B, K, *spatial) at full size and,
in training, those of each other level that has its own loss, finest first.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from aunet.networks.layers import Layers, keep_layout_in_backward
from aunet.networks.linear_resizing import resize_linearly

HeadFactory = Callable[[Layers, Sequence[int], int], nn.Module]


class MultiscaleHead(nn.Module):
    """A 1x1 convolution to K classes at each decoder level; outputs are resized, concatenated and fused by another.

    The paper calls it deep supervision, though no level has its own loss. As fusing and resizing are linear, each
    level's share of the fusion is taken before resizing, which avoids K x levels channels at full size.
    """

    def __init__(self, layers: Layers, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.level_scores = nn.ModuleList(layers.convolution(width, num_classes, 1) for width in channels)
        self.fusion = layers.convolution(num_classes * len(channels), num_classes, 1)

    def forward(self, decoded: Sequence[Tensor]) -> list[Tensor]:
        """Return [logits (B, K, *spatial of the first)] for the features of the decoder levels, finest first."""
        size = decoded[0].shape[2:]
        shares = self.fusion.weight.chunk(len(decoded), dim=1)
        convolve = functional.conv2d if decoded[0].ndim == 4 else functional.conv3d
        logits = [
            resize_linearly(convolve(scores(features), share), size)
            for features, scores, share in zip(decoded, self.level_scores, shares, strict=True)
        ]
        fused = keep_layout_in_backward(functools.reduce(torch.add, reversed(logits)))
        assert self.fusion.bias is not None
        return [fused + self.fusion.bias.view(1, -1, *[1] * len(size))]


class SingleHead(nn.Module):
    """A 1x1 convolution to K classes at the finest level, as in the first U-Net."""

    def __init__(self, layers: Layers, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.scores = layers.convolution(channels[0], num_classes, 1)

    def forward(self, decoded: Sequence[Tensor]) -> list[Tensor]:
        """Return [logits (B, K, *spatial of the first)] for the features of the decoder levels, finest first."""
        return [self.scores(decoded[0])]


class DeepSupervisionHead(nn.Module):
    """A 1x1 convolution to K classes at each decoder level, each with its own loss in training."""

    def __init__(self, layers: Layers, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.level_scores = nn.ModuleList(layers.convolution(width, num_classes, 1) for width in channels)

    def forward(self, decoded: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits of each level, in evaluation of the finest only; ``decoded`` starts with the finest."""
        supervised = len(decoded) if self.training else 1
        pairs = zip(self.level_scores[:supervised], decoded[:supervised], strict=True)
        return [scores(features) for scores, features in pairs]
