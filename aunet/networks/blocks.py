"""What each level of the encoder and the decoder is made of: two units, of one of several kinds.

A block is built by ``block(layers, in_channels, out_channels, kernel_size)`` and keeps the size of its input:
(B, in, *spatial) -> (B, out, *spatial). So does a unit, built alike.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aunet.errors import UserError
from aunet.networks.layers import Layers, PerAxis
from aunet.networks.norms import separate_norms

BlockFactory = Callable[[Layers, int, int, PerAxis], nn.Module]
UnitFactory = Callable[[Layers, int, int, PerAxis], nn.Module]


class ConvolutionUnit(nn.Sequential):
    """Convolution, norm, dropout if there is any, activation."""

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

    Source: R2U-Net, Alom et al. 2018 (arXiv 1802.06955). A 1x1 convolution comes first if the width changes, as the sum
    needs equal widths.

    Args:
        layers: the network's layers.
        in_channels: width of the input.
        out_channels: width of the output.
        kernel_size: of the unit's convolutions.
        steps: further applications after the first, the paper's t.
        unit: ConvolutionUnit, InceptionUnit or a unit of your own.
        norm_per_application: each application has norm layers of its own. Without, all share one, whose running
            statistics fit the input of none, so that evaluation differs from training; for runs that began so.
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
        """(B, in, *spatial) -> (B, out, *spatial)."""
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
    """A 1x1 unit and dilated units side by side, each giving its share of the channels."""

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
        """(B, in, *spatial) -> (B, out, *spatial)."""
        return torch.cat([branch(features) for branch in self.branches], dim=1)


class ConvolutionBlock(nn.Module):
    """Two units; with plain ones the block of the paper's networks.

    Args:
        layers: the network's layers.
        in_channels: width of the input.
        out_channels: width of the output.
        kernel_size: of the units' convolutions.
        unit: ConvolutionUnit, RecurrentUnit, InceptionUnit or a unit of your own.
        is_residual: the input, brought to the output's width by a 1x1 convolution, is added to what the units make
            of it, as in R2U-Net.
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
        """(B, in, *spatial) -> (B, out, *spatial)."""
        features = self.projection(features)
        return features + self.units(features) if self.is_residual else self.units(features)


def _projection(layers: Layers, in_channels: int, out_channels: int) -> Any:
    return nn.Identity() if in_channels == out_channels else layers.convolution(in_channels, out_channels, 1)
