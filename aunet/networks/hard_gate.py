"""Hard attention: gates that are open or shut, drawn at random in training and fixed in evaluation.

A draw has no derivative, so its gradient is estimated in one of two ways. Sources: Oktay et al. 2018, section 1, which
contrasts them with its own soft gates; Jang et al. 2017 for Gumbel; Williams 1992 and Mnih and Rezende 2016 for score
functions.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from aunet.errors import UserError
from aunet.networks.gates import Combination, GridGate, Nonlinearity
from aunet.networks.layers import Layers, PerAxis

Estimator = Literal["straight_through", "score_function"]


class StraightThroughGumbel(nn.Module):
    """A draw that is open if score plus logistic noise is above 0.

    Its derivative is that of the sigmoid of this sum divided by ``temperature``. The estimate is biased; the lower the
    ``temperature``, the less biased and the noisier it is.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise UserError(f"temperature={temperature}: it must be above 0.")
        self.temperature = temperature

    def forward(self, scores: Tensor) -> Tensor:
        """Turn scores of any shape into 0 or 1, in evaluation into the likelier of both."""
        if not self.training:
            return (scores > 0).to(scores.dtype)
        uniform = torch.rand_like(scores).clamp(1e-6, 1 - 1e-6)
        relaxed = ((scores + uniform.logit()) / self.temperature).sigmoid()
        return (relaxed > 0.5).to(scores.dtype) + (relaxed - relaxed.detach())  # the bracket is exactly 0


class BernoulliDraw(nn.Module):
    """A draw that is open with probability sigmoid(score) and has no derivative.

    Training must add the score-function term to the loss: (loss - baseline) * log probability of the draw, over
    ``num_draws`` draws of the whole network (``aunet.training.score_function``).
    """

    def __init__(self, num_draws: int) -> None:
        super().__init__()
        if num_draws < 2:
            raise UserError(f"num_draws={num_draws}: at least 2, as each draw's baseline is the mean of the others.")
        self.num_draws = num_draws

    def forward(self, scores: Tensor) -> Tensor:
        """Turn scores of any shape into 0 or 1, in evaluation into the likelier of both."""
        if not self.training:
            return (scores > 0).to(scores.dtype)
        return torch.bernoulli(scores.detach().sigmoid())

    @staticmethod
    def log_probability(scores: Tensor, draw: Tensor) -> Tensor:
        """Return the log probability of the whole ``draw``, a scalar with a gradient to ``scores``."""
        return -functional.binary_cross_entropy_with_logits(scores, draw, reduction="sum")


class HardGate(GridGate):
    """A gate whose coefficients are 0 or 1.

    Args:
        layers: the network's layers.
        skip_channels: channels of the skip.
        gating_channels: channels of the gating signal.
        stride: of the grid, along each axis.
        estimator: of the gradient: "straight_through" or "score_function".
        temperature: of the straight-through estimate.
        num_draws: draws per training step of the score-function estimate.
        combination: as in ``GridGate``, like all arguments below.
        nonlinearity: of the additive score.
        is_per_channel: a map for each channel of the skip instead of one for all.
        has_output_transform: whether a 1x1 convolution and a norm follow the gating.
        is_pass_through_start: whether nearly all cells start open.
    """

    def __init__(
        self,
        layers: Layers,
        skip_channels: int,
        gating_channels: int,
        stride: PerAxis = 2,
        estimator: Estimator = "straight_through",
        temperature: float = 1.0,
        num_draws: int = 4,
        combination: Combination = "additive",
        nonlinearity: Nonlinearity = "relu",
        is_per_channel: bool = False,
        has_output_transform: bool = True,
        is_pass_through_start: bool = True,
    ) -> None:
        super().__init__(
            layers,
            skip_channels,
            gating_channels,
            stride,
            combination,
            nonlinearity,
            is_per_channel=is_per_channel,
            has_output_transform=has_output_transform,
            is_pass_through_start=is_pass_through_start,
        )
        if estimator not in ("straight_through", "score_function"):
            raise UserError(f"estimator={estimator!r}: use 'straight_through' or 'score_function'.")
        is_drawn = estimator == "score_function"
        if is_drawn and temperature != 1.0:
            self.without_effect.append(f"temperature={temperature}, as estimator=score_function relaxes nothing")
        if not is_drawn and num_draws != 4:
            self.without_effect.append(f"num_draws={num_draws}, as estimator=straight_through draws once")
        self.draw: nn.Module = BernoulliDraw(num_draws) if is_drawn else StraightThroughGumbel(temperature)

    def coefficients(self, scores: Tensor) -> Tensor:
        """Turn scores into 0 or 1, both (B, M, *spatial / stride)."""
        return self.draw(scores)

    def resize(self, coefficients: Tensor, skip: Tensor) -> Tensor:
        """Resize coefficients (B, M, *spatial / stride) to ``skip``'s spatial size, each to a block of equal values."""
        return functional.interpolate(coefficients, size=tuple(skip.shape[2:]), mode="nearest")
