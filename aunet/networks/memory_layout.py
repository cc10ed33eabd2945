"""Channels-last memory layout, in two and three dimensions."""

import torch
from torch import Tensor, nn

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def lay_out_channels_last(network: nn.Module) -> None:
    """Lay out the weights of the convolutions of ``network`` channels-last, in place."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = channels_last(tensor.data)


def channels_last(features: Tensor) -> Tensor:
    """``features`` (B, C, *spatial), or the weight of a convolution, with the channels last in memory; others as is."""
    layout = _CHANNELS_LAST.get(features.ndim)
    return features if layout is None else features.contiguous(memory_format=layout)
