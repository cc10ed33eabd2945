"""Removal of the classes that a reference does not annotate from any softmax loss."""

import torch
from torch import Tensor

from aunet.classes import IGNORED
from aunet.targets import IMPOSSIBLE


def marginal_logits(logits: Tensor, annotated: Tensor) -> Tensor:
    """Return logits whose softmax moves the shares of un-annotated classes to the background.

    A voxel that a partial reference calls background is background or one of the classes that it does not annotate:
    background' = log(sum of exp over the background and them). The gradient then favours none of them.
    Source: Fang and Yan, IEEE TMI 2020; Shi et al., Medical Image Analysis 2021 (marginal loss).

    Args:
        logits: (B, K, *spatial), the background first.
        annotated: (B, K) boolean; the background's entry is treated as true.

    Returns:
        (B, K, *spatial).

    Examples:
        >>> logits = torch.tensor([[0.5, 0.3, 0.2]]).log()[..., None]  # one voxel
        >>> marginal_logits(logits, torch.tensor([[True, True, False]])).softmax(dim=1).squeeze()
        tensor([0.7000, 0.3000, 0.0000])
    """
    shape = (*annotated.shape, *(1,) * (logits.ndim - 2))
    is_hidden = ~annotated.reshape(shape)[:, 1:]
    background, foreground = logits[:, :1], logits[:, 1:]
    hidden = foreground.masked_fill(~is_hidden, -torch.inf)
    merged = torch.cat([background, hidden], dim=1).logsumexp(dim=1, keepdim=True)
    return torch.cat([merged, foreground.masked_fill(is_hidden, IMPOSSIBLE)], dim=1)


def annotated_label(label: Tensor, annotated: Tensor) -> Tensor:
    """Return the label with voxels of classes that its case does not annotate as background, where they may lie.

    Label maps often mark a class that nobody completed in their case. ``marginal_logits`` makes it impossible, so its
    voxels would dominate the loss.

    Args:
        label: (B, 1, *spatial) integers, at most 255; voxels without reference (``IGNORED``) stay.
        annotated: (B, K) boolean.
    """
    is_known = torch.ones(len(annotated), IGNORED + 1, dtype=torch.bool, device=annotated.device)
    is_known[:, : annotated.shape[1]] = annotated
    is_marked = is_known.gather(1, label.flatten(1).long()).reshape(label.shape)
    return label.masked_fill(~is_marked, 0)
