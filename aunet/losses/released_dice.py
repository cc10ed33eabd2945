"""The soft Dice loss of the authors' released code."""

import torch
from torch import Tensor, nn

_SMOOTH = 0.01


class ReleasedDiceLoss(nn.Module):
    """1 - mean over samples and classes, background included, of 2 (I + s) / (P + T + s) with s = 0.01.

    The smoothing term is added before the doubling, so a perfect prediction scores slightly below 0.
    Source: ozan-oktay/Attention-Gated-Networks, ``SoftDiceLoss``.

    Examples:
        >>> label = torch.tensor([[[[0, 1], [1, 1]]]])
        >>> f"{ReleasedDiceLoss()(100.0 * torch.cat([1 - label, label], dim=1), label):.4f}"
        '-0.0033'
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.is_mean = reduction == "mean"  # else a value of each sample and class

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of logits (B, K, *spatial) for an integer label (B, 1, *spatial), a scalar unless "none"."""
        probabilities = logits.softmax(dim=1).flatten(2)
        target = torch.zeros_like(probabilities).scatter_(1, label.long().flatten(2), 1.0)
        intersection = (probabilities * target).sum(dim=2) + _SMOOTH
        total = probabilities.sum(dim=2) + target.sum(dim=2) + _SMOOTH
        values = 2.0 * intersection / total
        return 1.0 - (values.mean() if self.is_mean else values)
