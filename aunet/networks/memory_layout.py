"""Channels-last memory layout, in two and three dimensions."""

from functools import partial

import torch
from torch import Tensor, nn

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def lay_out_channels_last(network: nn.Module) -> None:
    """Lay out the weights of the convolutions of ``network`` channels-last, in place."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = channels_last(tensor.data)


def channels_last(features: Tensor) -> Tensor:
    """Return ``features`` (B, C, *spatial), or the weight of a convolution, channels-last in memory; others as is.

    The strides of one channel fit both layouts. torch then takes channels-first, and the first block of a network would
    run in it: they are made to fit channels-last alone.
    """
    layout = _CHANNELS_LAST.get(features.ndim)
    if layout is None:
        return features
    features = features.contiguous(memory_format=layout)
    return features.squeeze(1).unsqueeze(-1).movedim(-1, 1) if features.shape[1] == 1 else features


def keep_layout_in_backward(features: Tensor) -> Tensor:
    """Return ``features`` (B, C, *spatial), whose gradient will have the same memory layout.

    The gradient of one part of a concatenation is a view with gaps. torch's kernels of a processor take such a view for
    channels-first, convert it and run their slow branch: linear upsampling of 32 channels of 64x64x64, batch 2, needs
    177 ms of one core instead of 24 (`experiments/benchmarks/README.md`).
    """
    layout = _CHANNELS_LAST.get(features.ndim)
    is_eager = not (torch.compiler.is_compiling() or torch.jit.is_tracing())
    if is_eager and layout and features.requires_grad and features.is_contiguous(memory_format=layout):
        features.register_hook(partial(_lay_out, layout))
    return features


def _lay_out(layout: torch.memory_format, gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=layout)
