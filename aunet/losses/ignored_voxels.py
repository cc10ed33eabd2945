"""Removal of the voxels without reference from any softmax loss."""

import torch
from torch import Tensor
from torch.nn import functional

from aunet.classes import IGNORED
from aunet.targets import IMPOSSIBLE


def hide_ignored(logits: Tensor, label: Tensor) -> Tensor:
    """Return logits that are certain of the background at voxels that ``label`` ignores, and pass no gradient there.

    With the background as their label such voxels have a loss of 0 and are in no foreground class of either side, so
    any loss that compares a softmax with a label learns nothing from them. A mean over voxels still counts them.

    Args:
        logits: (B, K, *spatial), the background first.
        label: (B, 1, *spatial), of the same or of a higher resolution.

    Returns:
        (B, K, *spatial).
    """
    is_ignored = label == IGNORED
    if is_ignored.shape[2:] != logits.shape[2:]:
        # In the mode in which MONAI's DeepSupervisionLoss picks the label's voxels; "nearest" picks their neighbours.
        is_ignored = functional.interpolate(is_ignored.float(), size=logits.shape[2:], mode="nearest-exact") > 0
    certain = logits.new_full((1, logits.shape[1], *(1,) * (logits.ndim - 2)), IMPOSSIBLE)
    certain[:, 0] = 0
    return torch.where(is_ignored, certain, logits)


def without_ignored(label: Tensor) -> Tensor:
    """Return ``label`` with the background in place of ignored voxels."""
    return label.masked_fill(label == IGNORED, 0)
