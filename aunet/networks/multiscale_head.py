"""The head of the paper's networks: class scores of every decoder level, fused at full size."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from aunet.networks.dimensions import CONVOLUTION, resize_linearly


class MultiscaleHead(nn.Module):
    """A 1x1 convolution to K classes at each decoder level, resized, concatenated, fused by a 1x1 convolution.

    The paper calls it deep supervision, though no level has a loss of its own. Fusing is linear and so is resizing:
    each level's share of the fusion is taken before it is resized, which spares the K x levels channels at full size.
    """

    def __init__(self, spatial_dims: int, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[spatial_dims]
        self.level_scores = nn.ModuleList(convolution(width, num_classes, 1) for width in channels)
        self.fusion = convolution(num_classes * len(channels), num_classes, 1)

    def forward(self, decoded: Sequence[Tensor]) -> Tensor:
        """Features of the decoder levels, finest first -> logits (B, K, *spatial of the first)."""
        size = decoded[0].shape[2:]
        shares = self.fusion.weight.chunk(len(decoded), dim=1)
        convolve = functional.conv2d if decoded[0].ndim == 4 else functional.conv3d
        logits = [
            resize_linearly(convolve(scores(features), share), size)
            for features, scores, share in zip(decoded, self.level_scores, shares, strict=True)
        ]
        bias = torch.as_tensor(self.fusion.bias).view(1, -1, *[1] * len(size))
        return torch.stack(logits).sum(dim=0) + bias
