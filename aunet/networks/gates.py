"""Attention at a skip connection: grid-based gates (Oktay et al. 2018, section 2.1) and their alternatives.

``gate(layers, skip_channels, gating_channels, stride)`` builds a gate. For a skip (B, F, *spatial) and a gating signal
(B, G, *coarser), it returns the gated skip (B, F, *spatial) and its coefficients (B, M, *spatial) in [0, 1].

Letters: B batch, F channels of the skip, G channels of the gating signal, M coefficient maps.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from aunet.errors import UserError
from aunet.networks.layers import Layers, PerAxis, initialize_as_released
from aunet.networks.linear_resizing import resize_linearly

GateFactory = Callable[[Layers, int, int, PerAxis], nn.Module]
Combination = Literal["additive", "multiplicative"]
Nonlinearity = Literal["relu", "softplus"]
Normalization = Literal["sigmoid", "softmax"]

# Bias of psi in the authors' classification gate: sigmoid(3) = 0.95, so that nearly everything passes at first.
_PASS_THROUGH_BIAS = 3.0
_PASS_THROUGH_SCALE = 0.1


class IdentitySkip(nn.Module):
    """The skip of the plain U-Net, which passes everything and has no coefficients."""

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, None]:
        """Return ``skip`` unchanged, without coefficients."""
        return skip, None


class GridGate(nn.Module):
    """A gate with a coefficient for each cell of a grid ``stride`` times coarser than the skip; the paper's by default.

    Args:
        layers: the network's layers.
        skip_channels: F.
        gating_channels: G.
        stride: of the grid, along each axis.
        combination: "additive" (the paper's) scores a cell by psi(relu(theta + phi)), "multiplicative" by
            psi(theta * phi), which is the dot product of Luong et al. 2015 if psi is all ones.
        nonlinearity: of the additive score; "softplus" is the released mode concatenation_debug.
        normalization: of scores to coefficients: "sigmoid" for each cell alone, "softmax" over all cells, so that a map
            sums to 1 at the gate's own resolution (the released mode concatenation_residual).
        is_per_channel: a map for each channel of the skip instead of one for all.
        has_output_transform: whether a 1x1 convolution and a norm follow the gating, as in the paper.
        is_pass_through_start: whether coefficients start near 1, unlike in the released segmentation gates. None means
            true for "sigmoid". No effect on "softmax", whose coefficients sum to 1 over space and cannot all start so.

    Attributes:
        applied: the coefficients (B, M, *spatial) pass through it before they multiply the skip, so that a forward hook
            can replace them in a trained network. It has no weights.
        without_effect: settings that were given but change nothing, with the reason.

    Examples:
        >>> gate = GridGate(Layers(spatial_dims=2), skip_channels=4, gating_channels=8)
        >>> gated, coefficients = gate(torch.randn(1, 4, 16, 16), torch.randn(1, 8, 8, 8))
        >>> gated.shape, coefficients.shape
        (torch.Size([1, 4, 16, 16]), torch.Size([1, 1, 16, 16]))
    """

    is_normalized_over_space = False

    def __init__(
        self,
        layers: Layers,
        skip_channels: int,
        gating_channels: int,
        stride: PerAxis = 2,
        combination: Combination = "additive",
        nonlinearity: Nonlinearity = "relu",
        normalization: Normalization = "sigmoid",
        is_per_channel: bool = False,
        has_output_transform: bool = True,
        is_pass_through_start: bool | None = None,
    ) -> None:
        super().__init__()
        _check_option("combination", combination, ("additive", "multiplicative"))
        _check_option("nonlinearity", nonlinearity, ("relu", "softplus"))
        _check_option("normalization", normalization, ("sigmoid", "softmax"))
        self.is_additive = combination == "additive"
        self.is_normalized_over_space = normalization == "softmax"
        self.without_effect: list[str] = []
        if self.is_normalized_over_space and is_pass_through_start is True:
            self.without_effect.append(
                "is_pass_through_start=true, as the coefficients of normalization=softmax sum to 1 over space and"
                " cannot all start near 1; set it to null"
            )
        if not self.is_additive and nonlinearity != "relu":
            self.without_effect.append(f"nonlinearity={nonlinearity}, as combination=multiplicative has none")
        self.nonlinearity = functional.softplus if nonlinearity == "softplus" else torch.relu
        self.theta = layers.patch_convolution(skip_channels, skip_channels, stride)
        self.phi = layers.convolution(gating_channels, skip_channels, kernel_size=1)
        self.psi = layers.convolution(skip_channels, skip_channels if is_per_channel else 1, kernel_size=1)
        self.applied = nn.Identity()
        self.output: nn.Module = nn.Identity()
        if has_output_transform:
            convolution = layers.convolution(skip_channels, skip_channels, kernel_size=1)
            self.output = nn.Sequential(convolution, layers.normalization(skip_channels))
        initialize_as_released(self)
        if is_pass_through_start is not False and not self.is_normalized_over_space:
            _start_near_one(self.psi)

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gated skip (B, F, *spatial) and its coefficients (B, M, *spatial), by gating (B, G, *coarser)."""
        coefficients = self.applied(self.resize(self.coefficients(self.scores(skip, gating)), skip))
        return self.output(coefficients.to(skip.dtype) * skip), coefficients

    def scores(self, skip: Tensor, gating: Tensor) -> Tensor:
        """Score each cell of the grid: (B, M, *spatial / stride), float32, of either sign."""
        theta = self.theta(skip)
        phi = self.phi(gating)
        if any(length > 1 for length in phi.shape[2:]):  # a global gating vector broadcasts
            phi = resize_linearly(phi, theta.shape[2:])
        if not self.is_additive:
            return self.psi(theta * phi).float()
        return self.psi(self.nonlinearity(theta + phi)).float()  # q_att = psi^T sigma_1(W_x x + W_g g + b_g) + b_psi

    def coefficients(self, scores: Tensor) -> Tensor:
        """Turn scores into coefficients in [0, 1], both (B, M, *spatial / stride)."""
        if self.is_normalized_over_space:
            return scores.flatten(2).softmax(dim=2).view_as(scores)
        return scores.sigmoid()  # alpha = sigma_2(q_att)

    def resize(self, coefficients: Tensor, skip: Tensor) -> Tensor:
        """Resize coefficients (B, M, *spatial / stride) to the spatial size of ``skip``."""
        return resize_linearly(coefficients, skip.shape[2:])


def _start_near_one(psi: nn.Module) -> None:
    """Shrink the weights and set the bias to 3, so that a sigmoid of the scores starts near 1."""
    with torch.no_grad():
        torch.as_tensor(psi.weight).mul_(_PASS_THROUGH_SCALE)
        torch.as_tensor(psi.bias).fill_(_PASS_THROUGH_BIAS)


def _check_option(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise UserError(f"{name}={value!r}: use {' or '.join(map(repr, options))}.")
