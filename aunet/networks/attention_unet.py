"""The Attention U-Net (Oktay et al. 2018): a U-Net whose coarser skips pass through attention gates."""

from collections.abc import Sequence

from torch import nn

from aunet.errors import UserError
from aunet.networks.attention_gate import AttentionGate, GridGate, Normalization
from aunet.networks.blocks import ConvolutionUnit
from aunet.networks.initialization import initialize_as_released
from aunet.networks.unet import UNet


class AttentionUNet(UNet):
    """Attention U-Net; 6,407,018 parameters as it stands (the paper says 6.40 M).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        num_classes: classes of the logits, the background included.
        channels: width of each level, finest first; the last one is the bottleneck.
        gated_levels: levels whose skip is gated; level 1 is the full resolution, which the paper never gates.
        num_gates: gates a skip.
        normalization: "sigmoid" (the paper's) or "softmax" over space.
        has_gating_convolution: a 1x1 convolution unit on the bottleneck before it gates, as released.
        is_pass_through_start: gates start with coefficients near 1; the released segmentation network does not.
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        num_classes: int = 4,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        gated_levels: Sequence[int] = (2, 3, 4),
        num_gates: int = 2,
        normalization: Normalization = "sigmoid",
        has_gating_convolution: bool = False,
        is_pass_through_start: bool = True,
    ) -> None:
        super().__init__(spatial_dims, in_channels, num_classes, channels)
        _check_gates(gated_levels, len(channels) - 1, num_gates, normalization)
        self.is_softmax_gate = normalization == "softmax"
        if has_gating_convolution:
            self.gating = ConvolutionUnit(spatial_dims, channels[-1], channels[-1], kernel_size=1)
        for level in gated_levels:
            self.skips[level - 1] = AttentionGate(
                spatial_dims, channels[level - 1], channels[level], num_gates, normalization
            )
        for module in (self.gating, self.skips):
            initialize_as_released(module)
        if is_pass_through_start:
            _start_as_pass_through(self.skips)


def _start_as_pass_through(skips: nn.Module) -> None:
    for module in skips.modules():
        if isinstance(module, GridGate):
            module.start_as_pass_through()


def _check_gates(gated_levels: Sequence[int], num_skips: int, num_gates: int, normalization: str) -> None:
    if not set(gated_levels) <= set(range(1, num_skips + 1)):
        raise UserError(f"gated_levels={list(gated_levels)}: this network has skips at levels 1 to {num_skips}.")
    if num_gates < 1:
        raise UserError(f"num_gates={num_gates}: a gated skip has at least one gate.")
    if normalization not in ("sigmoid", "softmax"):
        raise UserError(f"normalization={normalization!r}: use 'sigmoid' or 'softmax'.")
