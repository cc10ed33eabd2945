"""The layers that make up a network, by number of spatial dimensions, norm and activation; weights and their layout."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from aunet.errors import UserError
from aunet.networks.norms import group_norm

Norm = Literal["batch", "instance", "group"]
Activation = Literal["relu", "leaky_relu"]
PerAxis = int | Sequence[int]
# The type in which a network computes; float32 needs no autocast.
Precision = Literal["float32", "bf16", "fp16"]
AUTOCAST_TYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}

Convolution = nn.Conv2d | nn.Conv3d
CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_MAX_POOLING = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}

_LARGEST_EQUAL_GROUP = 8
_LEAKY_SLOPE = 0.01


@dataclass(frozen=True)
class Layers:
    """Builder of the layers of one network, passed to every block, gate and head.

    ``dropout`` is the share of values that a convolution unit sets to zero in training. ``has_equal_groups`` is as in
    ``aunet.networks.unet.Architecture``.

    Examples:
        >>> Layers(spatial_dims=2).convolution(16, 32).weight.shape
        torch.Size([32, 16, 3, 3])
        >>> type(Layers(norm="instance").normalization(32)).__name__
        'InstanceNorm3d'
    """

    spatial_dims: int = 3
    norm: Norm = "batch"
    activation: Activation = "relu"
    dropout: float = 0.0
    has_equal_groups: bool = False

    def __post_init__(self) -> None:
        """Raise UserError for a setting that no layer exists for."""
        if self.spatial_dims not in (2, 3):
            raise UserError(f"spatial_dims={self.spatial_dims}: a network has 2 or 3 spatial dimensions.")
        if self.norm not in ("batch", "instance", "group"):
            raise UserError(f"norm={self.norm!r}: use 'batch', 'instance' or 'group'.")
        if self.activation not in ("relu", "leaky_relu"):
            raise UserError(f"activation={self.activation!r}: use 'relu' or 'leaky_relu'.")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout={self.dropout}: it is a share, at least 0 and below 1.")

    def convolution(
        self, in_channels: int, out_channels: int, kernel_size: PerAxis = 3, dilation: int = 1
    ) -> Convolution:
        """Return a convolution that keeps the size: (B, in, *spatial) -> (B, out, *spatial)."""
        kernel = self._sizes(kernel_size)
        if any(length % 2 == 0 for length in kernel):
            raise UserError(f"kernel_size={list(kernel)}: a kernel that keeps the size is odd along every axis.")
        padding = tuple(dilation * (length // 2) for length in kernel)
        return CONVOLUTION[self.spatial_dims](in_channels, out_channels, kernel, padding=padding, dilation=dilation)

    def patch_convolution(self, in_channels: int, out_channels: int, stride: PerAxis) -> Convolution:
        """Return a convolution of adjacent patches, without bias: (B, in, *spatial) -> (B, out, *spatial / stride)."""
        patch = self._sizes(stride)
        return CONVOLUTION[self.spatial_dims](in_channels, out_channels, patch, stride=patch, bias=False)

    def transposed_convolution(self, in_channels: int, out_channels: int, stride: PerAxis) -> nn.Module:
        """Return a learned upsampling: (B, in, *spatial) -> (B, out, *spatial * stride)."""
        patch = self._sizes(stride)
        return _TRANSPOSED[self.spatial_dims](in_channels, out_channels, patch, stride=patch)

    def max_pooling(self, stride: PerAxis) -> nn.Module:
        """Return the pooling to the largest value of each patch: (B, C, *spatial) -> (B, C, *spatial / stride)."""
        return _MAX_POOLING[self.spatial_dims](per_axis(stride, self.spatial_dims))

    def normalization(self, channels: int) -> nn.Module:
        """Return the norm layer; groups hold about 8 channels, see ``aunet.networks.norms.group_norm``."""
        if self.norm == "instance":
            return _INSTANCE_NORM[self.spatial_dims](channels, affine=True)
        if self.norm == "group" and self.has_equal_groups:
            return nn.GroupNorm(channels // math.gcd(channels, _LARGEST_EQUAL_GROUP), channels)
        if self.norm == "group":
            return group_norm(channels)
        return _BATCH_NORM[self.spatial_dims](channels)

    def activate(self) -> nn.Module:
        """Return the activation, which works in place."""
        return nn.ReLU(inplace=True) if self.activation == "relu" else nn.LeakyReLU(_LEAKY_SLOPE, inplace=True)

    def _sizes(self, value: PerAxis) -> Any:
        """Return ``per_axis``, typed loosely because each of torch's layers accepts tuples of its own length only."""
        return per_axis(value, self.spatial_dims)


def per_axis(value: PerAxis, spatial_dims: int) -> tuple[int, ...]:
    """Return one whole number for every axis; raise UserError for a list of another length or a number below 1.

    Examples:
        >>> per_axis(3, spatial_dims=2), per_axis([3, 3, 1], spatial_dims=3)
        ((3, 3), (3, 3, 1))
    """
    numbers = (value,) * spatial_dims if isinstance(value, int) else tuple(value)
    if len(numbers) != spatial_dims or any(number < 1 for number in numbers):
        raise UserError(f"{value}: give one whole number from 1 on, or {spatial_dims} of them, one for each axis.")
    return numbers


def initialize_as_released(network: nn.Module) -> None:
    """Draw Kaiming normal convolutions (fan in) and batch norm scales around 1, and set batch norm shifts to 0.

    Biases of convolutions keep torch's default.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def lay_out_channels_last(network: nn.Module) -> None:
    """Lay out the weights of the convolutions of ``network`` channels-last, in place."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = channels_last(tensor.data)


def channels_last(features: Tensor) -> Tensor:
    """Return ``features`` (B, C, *spatial), or the weight of a convolution, channels-last in memory; others unchanged.

    The strides of a single channel fit both layouts. torch then takes channels-first, in which the first block of a
    network would run, so the strides are made to fit channels-last only.
    """
    layout = _CHANNELS_LAST.get(features.ndim)
    if layout is None:
        return features
    features = features.contiguous(memory_format=layout)
    return features.squeeze(1).unsqueeze(-1).movedim(-1, 1) if features.shape[1] == 1 else features


def is_channels_last(features: Tensor) -> bool:
    """Return whether ``features`` (B, C, *spatial) are channels-last in memory."""
    layout = _CHANNELS_LAST.get(features.ndim)
    return layout is not None and features.is_contiguous(memory_format=layout)


def keep_layout_in_backward(features: Tensor) -> Tensor:
    """Return ``features`` (B, C, *spatial); their gradient will have the same memory layout.

    The gradient of one part of a concatenation is a view with gaps. torch's CPU kernels take such a view for
    channels-first, convert it and run their slow branch: linear upsampling of 32 channels of 64x64x64, batch 2, needs
    177 ms of one core instead of 24 (`experiments/benchmarks/README.md`).
    """
    is_eager = not (torch.compiler.is_compiling() or torch.jit.is_tracing())
    if is_eager and features.requires_grad and is_channels_last(features):
        features.register_hook(partial(_lay_out, _CHANNELS_LAST[features.ndim]))
    return features


def _lay_out(layout: torch.memory_format, gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=layout)
