"""The U-Net of the paper's comparison; gates at its skips make it an Attention U-Net."""

import math
from collections.abc import Collection, Sequence
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn

from aunet.errors import UserError
from aunet.networks.blocks import BlockFactory, ConvolutionBlock
from aunet.networks.gates import IdentitySkip
from aunet.networks.heads import HeadFactory, MultiscaleHead
from aunet.networks.layers import (
    Activation,
    Layers,
    Norm,
    PerAxis,
    initialize_as_released,
    keep_layout_in_backward,
)
from aunet.networks.linear_resizing import resize_linearly
from aunet.networks.pooling_plan import resolve_pooling
from aunet.networks.protocols import NormalizedGate
from aunet.networks.recomputation import recompute

Upsampling = Literal["linear", "transposed"]


class Architecture(TypedDict, total=False):
    """Settings of a U-Net and an Attention U-Net besides their sizes; the defaults are the paper's.

    Keys:
        block: builds the block of each level.
        head: builds the head.
        norm: "batch", "instance" or "group".
        activation: "relu" or "leaky_relu".
        dropout: share of values set to zero in training.
        upsampling: "linear" or "transposed" (a learned convolution).
        strides: of the pooling between levels, finest first; one number, or one per axis. None: from ``spacing``.
        kernel_sizes: of the levels' convolutions, finest first. None: from ``spacing``.
        spacing: voxel size in mm, which delays pooling across thick slices until the plane is as coarse. A 2D network
            accepts that of a volume too, and ignores its last value.
        recomputed_levels: levels whose activations are recomputed in the backward pass instead of kept.
        has_equal_groups: whether groups of norm="group" hold gcd(width, 8) channels, a single one at odd widths, for
            runs that began so. Otherwise they hold about 8 channels at any width.
    """

    block: BlockFactory
    head: HeadFactory
    norm: Norm
    activation: Activation
    dropout: float
    upsampling: Upsampling
    strides: Sequence[PerAxis] | None
    kernel_sizes: Sequence[PerAxis] | None
    spacing: Sequence[float] | None
    recomputed_levels: Collection[int]
    has_equal_groups: bool


class UNet(nn.Module):
    """U-Net with a multi-scale head and 5,888,004 parameters by default (the paper says 5.88 M).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        num_classes: classes of the logits, the background included.
        channels: width of each level, finest first; the last one is the bottleneck.
        block: as in ``Architecture``, like all arguments below.

    Examples:
        >>> sum(parameter.numel() for parameter in UNet().parameters())
        5888004
        >>> UNet(channels=(4, 8, 16), spacing=[1.0, 1.0, 3.0]).size_multiple
        (4, 4, 2)
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        num_classes: int = 4,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        block: BlockFactory = ConvolutionBlock,
        head: HeadFactory = MultiscaleHead,
        norm: Norm = "batch",
        activation: Activation = "relu",
        dropout: float = 0.0,
        upsampling: Upsampling = "linear",
        strides: Sequence[PerAxis] | None = None,
        kernel_sizes: Sequence[PerAxis] | None = None,
        spacing: Sequence[float] | None = None,
        recomputed_levels: Collection[int] = (),
        has_equal_groups: bool = False,
    ) -> None:
        super().__init__()
        num_levels = len(channels)
        _check_architecture(channels, upsampling, recomputed_levels)
        self.layers = layers = Layers(spatial_dims, norm, activation, dropout, has_equal_groups)
        self.strides, kernels = resolve_pooling(spatial_dims, num_levels, strides, kernel_sizes, spacing)
        self.size_multiple = tuple(math.prod(along_axis) for along_axis in zip(*self.strides, strict=True))
        self.recomputed_levels = frozenset(recomputed_levels)
        self.is_gated_by_decoder = True
        self.num_gates: int | None = None
        self.encoder = Encoder(layers, in_channels, channels, self.strides, kernels, block, recomputed_levels)
        self.gating: nn.Module = nn.Identity()
        self.skips = nn.ModuleList(IdentitySkip() for _ in self.strides)
        self.decoder = nn.ModuleList(
            DecoderLevel(
                layers,
                coarse_channels=channels[level],
                skip_channels=channels[level - 1],
                stride=self.strides[level - 1],
                kernel_size=kernels[level - 1],
                block=block,
                upsampling=upsampling,
                is_recomputed=level in self.recomputed_levels,
            )
            for level in range(1, num_levels)
        )
        self.head = head(layers, channels[:-1], num_classes)
        initialize_as_released(self)

    @property
    def is_softmax_gate(self) -> bool:
        """Return whether a gate's coefficients sum to 1 over space, so that they are comparable in one image only."""
        return any(isinstance(gate, NormalizedGate) and gate.is_normalized_over_space for gate in self.skips.modules())

    @property
    def is_local(self) -> bool:
        """Return whether outputs depend on their surroundings alone: no average over all of space in evaluation.

        Nothing is known of blocks, gates and heads that are not ours, which may average.
        """
        is_ours = all(type(module).__module__.startswith(("aunet.", "torch.")) for module in self.modules())
        return is_ours and self.layers.norm == "batch" and not self.is_softmax_gate

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, *spatial) for an image (B, C, *spatial)."""
        return self.supervised_logits(image)[0]

    def forward_with_attention(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return logits (B, K, *spatial) and {level: coefficients (B, M, *spatial of the level)} of (B, C, *spatial).

        Level 1 is the full resolution; levels without a gate have no entry.
        """
        decoded, coefficients = self._decode(image)
        return self.head(decoded)[0], coefficients

    def supervised_logits(self, image: Tensor) -> list[Tensor]:
        """Return the logits that have a loss, each at its level's size, full resolution first, of (B, C, *spatial)."""
        return self.head(self._decode(image)[0])

    def _decode(self, image: Tensor) -> tuple[list[Tensor], dict[int, Tensor]]:
        """Return the features of the decoder's levels, finest first, and the coefficients of the gated levels."""
        self._check_size(image)
        *skips, coarse = self.encoder(image)
        gating = self.gating(coarse)
        decoded: list[Tensor] = []
        coefficients: dict[int, Tensor] = {}
        for level in range(len(skips), 0, -1):
            skip, level_coefficients = self._gate(level, skips[level - 1], gating)
            if level_coefficients is not None:
                coefficients[level] = level_coefficients
            coarse = self.decoder[level - 1](coarse, skip)
            gating = coarse if self.is_gated_by_decoder else gating
            decoded.insert(0, coarse)
        return decoded, coefficients

    def _gate(self, level: int, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor | None]:
        gate = self.skips[level - 1]
        return recompute(gate, gate, skip, gating) if level in self.recomputed_levels else gate(skip, gating)

    def _check_size(self, image: Tensor) -> None:
        size = tuple(image.shape[2:])
        if len(size) != self.layers.spatial_dims:
            raise UserError(
                f"image of shape {tuple(image.shape)}: this network takes (batch, channels) and"
                f" {self.layers.spatial_dims} spatial axes."
            )
        if any(length % multiple for length, multiple in zip(size, self.size_multiple, strict=True)):
            padded = tuple(-(-length // m) * m for length, m in zip(size, self.size_multiple, strict=True))
            raise UserError(
                f"image of size {size}: this network takes multiples of {self.size_multiple}."
                f" Pad the image to {padded}."
            )


class Encoder(nn.Module):
    """One block per level, with max pooling between levels."""

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
        """Return the features of each level, finest first, of an image (B, C, *spatial)."""
        features: list[Tensor] = []
        coarse = image
        for number, (pooling, level) in enumerate(zip(self.pooling, self.levels, strict=True), start=1):
            with torch.autocast(coarse.device.type, enabled=False):  # would pool in float32 on a CPU
                coarse = pooling(coarse)
            coarse = recompute(level, level, coarse) if number in self.recomputed_levels else level(coarse)
            features.append(coarse)
        return features


class DecoderLevel(nn.Module):
    """A level that upsamples the coarser features, concatenates the skip with them and applies one block.

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
        """Merge coarse (B, coarse, *spatial / stride) and skip (B, skip, *spatial) -> (B, skip, *spatial)."""
        return recompute(self, self._merge, coarse, skip) if self.is_recomputed else self._merge(coarse, skip)

    def _merge(self, coarse: Tensor, skip: Tensor) -> Tensor:
        upsampled = resize_linearly(self.upsampling(coarse), skip.shape[2:])
        parts = [keep_layout_in_backward(part) for part in (skip, upsampled)]
        return self.block(torch.cat(parts, dim=1))


def _check_architecture(channels: Sequence[int], upsampling: str, recomputed_levels: Collection[int]) -> None:
    if len(channels) < 2 or min(channels) < 1:
        raise UserError(f"channels={list(channels)}: a U-Net has at least two levels; give two widths or more.")
    if upsampling not in ("linear", "transposed"):
        raise UserError(f"upsampling={upsampling!r}: use 'linear' or 'transposed'.")
    if not set(recomputed_levels) <= set(range(1, len(channels) + 1)):
        raise UserError(f"recomputed_levels={list(recomputed_levels)}: the levels are 1 to {len(channels)}.")
