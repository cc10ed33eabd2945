"""The properties that a loss may state, beyond ``forward(logits, label) -> scalar``.

Logits are (B, K, *spatial), the label (B, 1, *spatial) holds integers. Any ``nn.Module`` with this ``forward`` will do;
nobody need inherit from these classes.
"""

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class BatchLoss(Protocol):
    """A loss that may treat the whole batch as one sample, such as MONAI's Dice losses.

    If ``batch`` is true, every rank must compute it over the samples of all: a ratio of sums over the batch is not the
    mean of the ranks' ratios.
    """

    batch: bool


def is_over_batch(loss: nn.Module) -> bool:
    """Return whether ``loss``, or a loss inside it, is not a mean over samples, so that ranks must share their batches.

    Examples:
        >>> from monai.losses.dice import DiceLoss
        >>> is_over_batch(DiceLoss(batch=True)), is_over_batch(nn.CrossEntropyLoss())
        (True, False)
    """
    return any(isinstance(part, BatchLoss) and part.batch for part in loss.modules())
