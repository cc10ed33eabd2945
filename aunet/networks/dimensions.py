"""The layers of torch by number of spatial dimensions, and resizing that keeps the dtype."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOLING: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_LINEAR_MODE = {2: "bilinear", 3: "trilinear"}


def resize_linearly(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, *spatial) to spatial ``size``: bilinear or trilinear, corners not aligned.

    Autocast would run this in float32 and double the memory of all that follows, so it is switched off here.
    """
    if tuple(features.shape[2:]) == tuple(size):
        return features
    with torch.autocast(features.device.type, enabled=False):
        mode = _LINEAR_MODE[features.ndim - 2]
        return functional.interpolate(features, size=tuple(size), mode=mode, align_corners=False)
