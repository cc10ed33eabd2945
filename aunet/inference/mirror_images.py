"""Test-time augmentation by mirror images: every window is predicted as it is and mirrored, and the mean is returned.

The mean is taken within a window, so that memory does not grow with the number of mirror images.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aunet.inference.sliding_window import Forward

# Limits the logarithm of a probability that underflowed to 0.
_SMALLEST = 1e-30


@dataclass(frozen=True)
class Mirror:
    """A mirror image along ``axis`` (0 right-left, 1 back-front, 2 feet-head) that exchanges ``pairs`` of classes."""

    axis: int
    pairs: tuple[tuple[int, int], ...] = ()


class MirroredForward:
    """The mean of a network over all combinations of ``mirrors``, the plain image among them.

    It returns log probabilities (B, K, h, w, d), which take the place of logits: their softmax is the mean of the
    members' probabilities. With ``has_information`` a last map follows, the mutual information of class and member: the
    entropy of the mean less the mean of the members' entropies (nats).

    Args:
        forward: returns the logits of windows (B, C, h, w, d).
        mirrors: the axes to flip.
        has_information: whether to add the map.
    """

    def __init__(self, forward: Forward, mirrors: Sequence[Mirror], *, has_information: bool = False) -> None:
        self._forward = forward
        self._has_information = has_information
        self._members = [
            chosen for number in range(len(mirrors) + 1) for chosen in itertools.combinations(mirrors, number)
        ]

    def __call__(self, windows: Tensor) -> Tensor:
        """Return the log of the mean probabilities of ``windows``."""
        total, entropy = torch.zeros(()), torch.zeros(())
        for member in self._members:
            probabilities = self._probabilities(windows, member)
            total = total.to(windows.device) + probabilities
            if self._has_information:
                entropy = entropy.to(windows.device) + torch.special.entr(probabilities).sum(dim=1, keepdim=True)
        mean = total / len(self._members)
        log_mean = mean.clamp(min=_SMALLEST).log()
        if not self._has_information:
            return log_mean
        information = torch.special.entr(mean).sum(dim=1, keepdim=True) - entropy / len(self._members)
        return torch.cat([log_mean, information.clamp(min=0)], dim=1)

    def _probabilities(self, windows: Tensor, member: tuple[Mirror, ...]) -> Tensor:
        axes = [2 + mirror.axis for mirror in member]
        found = self._forward(windows.flip(axes) if axes else windows).float().softmax(dim=1)
        order = list(range(found.shape[1]))
        for first, second in (pair for mirror in member for pair in mirror.pairs):
            order[first], order[second] = order[second], order[first]
        found = found[:, order] if order != sorted(order) else found
        return found.flip(axes) if axes else found
