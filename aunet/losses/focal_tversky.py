"""The focal Tversky loss, which MONAI has for two classes only."""

from monai.losses.tversky import TverskyLoss
from torch import Tensor, nn

from aunet.errors import UserError

# The root's slope is infinite at 0, the value of a perfect prediction, so the loss is flat below this value.
_SMALLEST = 1e-6


class FocalTverskyLoss(nn.Module):
    """Mean over samples and classes of (1 - Tversky index) ** (1 / gamma).

    Source: Abraham and Khan 2018 (arXiv 1810.07842), equations 3 and 4; their alpha is ``missed_weight``, their beta
    ``invented_weight`` (MONAI's ``TverskyLoss`` names them the other way round), and they sum over the classes.

    Args:
        missed_weight: weight of the false negatives.
        invented_weight: weight of the false positives.
        gamma: values above 1 give more weight to samples that are nearly right, below 1 to those that are far off.
        include_background: whether class 0 counts.
        reduction: "mean", or "none" for a value of each sample and class.

    Examples:
        >>> import torch
        >>> label = torch.tensor([[[[0, 1], [1, 1]]]])
        >>> logits = 50.0 * torch.cat([1 - label, label], dim=1)
        >>> loss = FocalTverskyLoss()
        >>> f"{loss(logits, label):.4f} {loss(-logits, label):.4f}"
        '0.0000 1.0000'
    """

    def __init__(
        self,
        missed_weight: float = 0.7,
        invented_weight: float = 0.3,
        gamma: float = 4 / 3,
        include_background: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if gamma <= 0:
            raise UserError(f"gamma={gamma}: it must be above 0.")
        self.exponent = 1 / gamma
        self.is_mean = reduction == "mean"
        self.tversky = TverskyLoss(
            include_background,
            to_onehot_y=True,
            softmax=True,
            alpha=invented_weight,
            beta=missed_weight,
            reduction="none",
        )

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of logits (B, K, *spatial) for an integer label (B, 1, *spatial), a scalar unless "none"."""
        values = self.tversky(logits, label).clamp(min=_SMALLEST).pow(self.exponent)
        return values.mean() if self.is_mean else values
