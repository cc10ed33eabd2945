"""Classes that a reference does not annotate, taken out of any softmax loss."""

import torch
from torch import Tensor

# exp of it is 0 in float32, beside any logit a network gives; infinity would turn 0 * log 0 into NaN.
_NEVER = -1e4


def marginal_logits(logits: Tensor, annotated: Tensor) -> Tensor:
    """Logits whose softmax gives the background the un-annotated classes' shares, and these nothing.

    A voxel that a partial reference calls background is that or one of the classes it does not speak of:
    background' = log(sum of exp over the background and them). The gradient then says nothing of which.
    Source: Fang and Yan, IEEE TMI 2020; Shi et al., Medical Image Analysis 2021 (marginal loss).

    Args:
        logits: (B, K, *spatial), the background first.
        annotated: (B, K) boolean; the background's entry is taken as true.

    Returns:
        (B, K, *spatial).
    """
    shape = (*annotated.shape, *(1,) * (logits.ndim - 2))
    is_hidden = ~annotated.reshape(shape)[:, 1:]
    background, foreground = logits[:, :1], logits[:, 1:]
    hidden = foreground.masked_fill(~is_hidden, -torch.inf)
    merged = torch.cat([background, hidden], dim=1).logsumexp(dim=1, keepdim=True)
    return torch.cat([merged, foreground.masked_fill(is_hidden, _NEVER)], dim=1)
