"""Attention at a skip connection: additive, grid-based gates (Oktay et al. 2018, section 2.1).

Letters: B batch, F channels of the skip, G channels of the gating signal, M coefficient maps.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from aunet.networks.blocks import ConvolutionUnit
from aunet.networks.dimensions import BATCH_NORM, CONVOLUTION, resize_linearly

Normalization = Literal["sigmoid", "softmax"]

# Bias of psi in the authors' classification gate: sigmoid(3) = 0.95, so that at first nearly all passes.
_PASS_THROUGH_BIAS = 3.0
_PASS_THROUGH_SCALE = 0.1


class IdentitySkip(nn.Module):
    """The skip of the plain U-Net: everything passes, there are no coefficients."""

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, None]:
        """Give ``skip`` back as it is."""
        return skip, None


class GridGate(nn.Module):
    """One additive gate with a coefficient for each place of a grid half as fine as the skip.

    ``normalization`` turns the scores of a scan into coefficients: "sigmoid" each for itself, "softmax" over all
    places, so that they sum to 1 at the gate's own resolution.
    """

    def __init__(
        self, spatial_dims: int, skip_channels: int, gating_channels: int, normalization: Normalization
    ) -> None:
        super().__init__()
        convolution = CONVOLUTION[spatial_dims]
        self.normalization = normalization
        self.theta = convolution(skip_channels, skip_channels, kernel_size=2, stride=2, bias=False)
        self.phi = convolution(gating_channels, skip_channels, kernel_size=1)
        self.psi = convolution(skip_channels, 1, kernel_size=1)
        self.output = nn.Sequential(
            convolution(skip_channels, skip_channels, kernel_size=1), BATCH_NORM[spatial_dims](skip_channels)
        )

    def start_as_pass_through(self) -> None:
        """Set psi so that a sigmoid gate starts with coefficients near 1."""
        with torch.no_grad():
            self.psi.weight.mul_(_PASS_THROUGH_SCALE)
            torch.as_tensor(self.psi.bias).fill_(_PASS_THROUGH_BIAS)

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """skip (B, F, *spatial), gating (B, G, *coarser) -> gated (B, F, *spatial), coefficients (B, 1, *spatial)."""
        coefficients = resize_linearly(self.grid_coefficients(skip, gating), skip.shape[2:])
        return self.output(coefficients.to(skip.dtype) * skip), coefficients

    def grid_coefficients(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Coefficients (B, 1, *spatial/2) in float32 at the gate's own resolution."""
        theta = self.theta(skip)
        phi = resize_linearly(self.phi(gating), theta.shape[2:])
        scores = self.psi(torch.relu(theta + phi)).float()  # q_att = psi^T relu(W_x x + W_g g + b_g) + b_psi
        if self.normalization == "softmax":
            return scores.flatten(2).softmax(dim=2).view_as(scores)
        return scores.sigmoid()  # alpha = sigma_2(q_att)


class AttentionGate(nn.Module):
    """One or more grid gates on the same skip, their outputs combined by a 1x1 convolution unit."""

    def __init__(
        self,
        spatial_dims: int,
        skip_channels: int,
        gating_channels: int,
        num_gates: int = 2,
        normalization: Normalization = "sigmoid",
    ) -> None:
        super().__init__()
        self.gates = nn.ModuleList(
            GridGate(spatial_dims, skip_channels, gating_channels, normalization) for _ in range(num_gates)
        )
        self.combination = ConvolutionUnit(spatial_dims, skip_channels * num_gates, skip_channels, kernel_size=1)

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """skip (B, F, *spatial), gating (B, G, *coarser) -> gated (B, F, *spatial), coefficients (B, M, *spatial)."""
        gated, coefficients = zip(*(gate(skip, gating) for gate in self.gates), strict=True)
        return self.combination(torch.cat(gated, dim=1)), torch.cat(coefficients, dim=1)
