"""The Attention U-Net (Oktay et al. 2018): a U-Net whose coarser skips pass through attention gates."""

import logging
from collections.abc import Sequence
from typing import Literal, Unpack

from torch import Tensor, nn

from aunet.errors import UserError
from aunet.networks.blocks import ConvolutionUnit
from aunet.networks.gates import GateFactory, GridGate
from aunet.networks.layers import initialize_as_released
from aunet.networks.several_gates import SeveralGates
from aunet.networks.unet import Architecture, UNet

_log = logging.getLogger(__name__)

GatingSource = Literal["decoder", "bottleneck", "global"]


class AttentionUNet(UNet):
    """Attention U-Net with 6,407,018 parameters by default (the paper says 6.40 M).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        num_classes: classes of the logits, the background included.
        channels: width of each level, finest first; the last one is the bottleneck.
        gate: builds a gate; ``GridGate``, ``HardGate`` or one of your own.
        num_gates: gates per skip.
        gated_levels: levels whose skip is gated. None means all but level 1, the full resolution, as in the paper.
        gating_source: source of the gating signal: "decoder", the next coarser level of the decoder (the paper's grid
            gating); "bottleneck" for all levels; "global", one vector, the bottleneck's mean over space.
        has_gating_convolution: whether a 1x1 convolution unit processes the bottleneck before it gates, as released.
        architecture: see ``Architecture``.

    Examples:
        >>> import torch
        >>> network = AttentionUNet(spatial_dims=2, in_channels=1, num_classes=3, channels=(4, 8, 16, 32))
        >>> logits, coefficients = network.forward_with_attention(torch.randn(1, 1, 32, 32))
        >>> logits.shape, {level: tuple(maps.shape) for level, maps in sorted(coefficients.items())}
        (torch.Size([1, 3, 32, 32]), {2: (1, 2, 16, 16), 3: (1, 2, 8, 8)})
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        num_classes: int = 4,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        gate: GateFactory = GridGate,
        num_gates: int = 2,
        gated_levels: Sequence[int] | None = None,
        gating_source: GatingSource = "decoder",
        has_gating_convolution: bool = False,
        **architecture: Unpack[Architecture],
    ) -> None:
        super().__init__(spatial_dims, in_channels, num_classes, channels, **architecture)
        gated_levels = range(2, len(channels)) if gated_levels is None else gated_levels
        _check_gates(gated_levels, len(self.skips), num_gates, gating_source)
        self.num_gates = num_gates
        self.is_gated_by_decoder = gating_source == "decoder"
        self.gating = nn.Sequential()
        if has_gating_convolution:
            self.gating.append(ConvolutionUnit(self.layers, channels[-1], channels[-1], kernel_size=1))
            initialize_as_released(self.gating)
        if gating_source == "global":
            self.gating.append(GlobalAverage())
        for level in gated_levels:
            gating_channels = channels[level] if self.is_gated_by_decoder else channels[-1]
            self.skips[level - 1] = SeveralGates(
                self.layers, channels[level - 1], gating_channels, self.strides[level - 1], gate, num_gates
            )
        gates = [module for module in self.skips.modules() if isinstance(module, GridGate)]
        for note in sorted({note for one in gates for note in one.without_effect}):
            _log.info("Without effect: model.network.gate.%s.", note)

    @property
    def is_local(self) -> bool:
        """Return whether ``UNet.is_local`` holds and no gating vector averages over the whole image."""
        return super().is_local and not any(isinstance(module, GlobalAverage) for module in self.gating.modules())


class GlobalAverage(nn.Module):
    """The mean over space: (B, C, *spatial) -> (B, C, 1, ...)."""

    def forward(self, features: Tensor) -> Tensor:
        """Average each channel."""
        return features.mean(dim=tuple(range(2, features.ndim)), keepdim=True)


def _check_gates(gated_levels: Sequence[int], num_skips: int, num_gates: int, gating_source: str) -> None:
    if not set(gated_levels) <= set(range(1, num_skips + 1)):
        raise UserError(f"gated_levels={list(gated_levels)}: this network has skips at levels 1 to {num_skips}.")
    if num_gates < 1:
        raise UserError(f"num_gates={num_gates}: a gated skip has at least one gate.")
    if gating_source not in ("decoder", "bottleneck", "global"):
        raise UserError(f"gating_source={gating_source!r}: use 'decoder', 'bottleneck' or 'global'.")
