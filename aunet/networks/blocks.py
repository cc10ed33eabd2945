"""Blocks of the levels of the encoder and the decoder: two units of one of several kinds.

``block(layers, in_channels, out_channels, kernel_size)`` builds a block, which keeps the size of its input:
(B, in, *spatial) -> (B, out, *spatial). Units are built in the same way and keep it too.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aunet.errors import UserError
from aunet.networks.layers import Layers, PerAxis
from aunet.networks.norms import separate_norms

BlockFactory = Callable[[Layers, int, int, PerAxis], nn.Module]
UnitFactory = Callable[[Layers, int, int, PerAxis], nn.Module]


class ConvolutionUnit(nn.Sequential):
    """Convolution, norm, dropout (if any) and activation."""

    def __init__(
        self, layers: Layers, in_channels: int, out_channels: int, kernel_size: PerAxis = 3, dilation: int = 1
    ) -> None:
        super().__init__(
            layers.convolution(in_channels, out_channels, kernel_size, dilation),
            layers.normalization(out_channels),
            *([nn.Dropout(layers.dropout)] if layers.dropout else []),
            layers.activate(),
        )


class RecurrentUnit(nn.Module):
    """One unit applied repeatedly, with the same convolution weights, to its input plus its last output.

    Source: R2U-Net, Alom et al. 2018 (arXiv 1802.06955). A 1x1 convolution comes first if the width changes, because
    the sum needs equal widths.

    Args:
        layers: the network's layers.
        in_channels: width of the input.
        out_channels: width of the output.
        kernel_size: of the unit's convolutions.
        steps: further applications after the first, the paper's t.
        unit: ConvolutionUnit, InceptionUnit or a unit of your own.
        norm_per_application: whether each application has its own norm layers. Running statistics of shared ones fit
            the input of no application, so evaluation differs from training; false is for runs that began so.
    """

    def __init__(
        self,
        layers: Layers,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis = 3,
        steps: int = 2,
        unit: UnitFactory = ConvolutionUnit,
        norm_per_application: bool = True,
    ) -> None:
        super().__init__()
        if steps < 1:
            raise UserError(f"steps={steps}: a recurrent unit is applied again at least once.")
        self.steps = steps
        self.projection = _projection(layers, in_channels, out_channels)
        self.unit = unit(layers, out_channels, out_channels, kernel_size)
        self._norms = tuple(separate_norms(self.unit, 1 + steps)) if norm_per_application else ()

    def forward(self, features: Tensor) -> Tensor:
        """Apply the unit ``1 + steps`` times: (B, in, *spatial) -> (B, out, *spatial)."""
        features = self.projection(features)
        state = self._apply_unit(features, 0)
        for application in range(1, 1 + self.steps):
            state = self._apply_unit(features + state, application)
        return state

    def _apply_unit(self, features: Tensor, application: int) -> Tensor:
        for norm in self._norms:
            norm.application = application
        return self.unit(features)


class InceptionUnit(nn.Module):
    """A 1x1 unit and dilated units side by side, each producing its share of the channels."""

    def __init__(
        self,
        layers: Layers,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis = 3,
        dilations: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__()
        kernels: list[tuple[PerAxis, int]] = [(1, 1), *((kernel_size, dilation) for dilation in dilations)]
        if out_channels < len(kernels) or any(dilation < 1 for dilation in dilations):
            raise UserError(
                f"dilations={list(dilations)}: they are whole numbers from 1 on, and with the 1x1 branch not more than"
                f" the {out_channels} channels of the narrowest level."
            )
        share, rest = divmod(out_channels, len(kernels))
        self.branches = nn.ModuleList(
            ConvolutionUnit(layers, in_channels, share + (index < rest), kernel, dilation)
            for index, (kernel, dilation) in enumerate(kernels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Run the branches and concatenate their channels: (B, in, *spatial) -> (B, out, *spatial)."""
        return torch.cat([branch(features) for branch in self.branches], dim=1)


class ConvolutionBlock(nn.Module):
    """Two units in a row; with plain units, the block of the paper's networks.

    Args:
        layers: the network's layers.
        in_channels: width of the input.
        out_channels: width of the output.
        kernel_size: of the units' convolutions.
        unit: ConvolutionUnit, RecurrentUnit, InceptionUnit or a unit of your own.
        is_residual: whether the units' input, brought to the output's width by a 1x1 convolution, is added to their
            output, as in R2U-Net.
    """

    def __init__(
        self,
        layers: Layers,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis = 3,
        unit: UnitFactory = ConvolutionUnit,
        is_residual: bool = False,
    ) -> None:
        super().__init__()
        self.is_residual = is_residual
        self.projection = _projection(layers, in_channels, out_channels) if is_residual else nn.Identity()
        width = out_channels if is_residual else in_channels
        self.units = nn.Sequential(
            unit(layers, width, out_channels, kernel_size), unit(layers, out_channels, out_channels, kernel_size)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Run the block: (B, in, *spatial) -> (B, out, *spatial)."""
        features = self.projection(features)
        return features + self.units(features) if self.is_residual else self.units(features)


def _projection(layers: Layers, in_channels: int, out_channels: int) -> nn.Module:
    return nn.Identity() if in_channels == out_channels else layers.convolution(in_channels, out_channels, 1)
