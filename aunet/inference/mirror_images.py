"""Test-time augmentation by mirror images: every window is predicted as it is and mirrored, and the mean is returned.

The mean is taken within a window, so that memory does not grow with the number of mirror images.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aunet.inference.sliding_window import Forward
from aunet.targets import EXCLUSIVE, Target


@dataclass(frozen=True)
class Mirror:
    """A mirror image along ``axis`` (0 right-left, 1 back-front, 2 feet-head) that exchanges ``pairs`` of channels."""

    axis: int
    pairs: tuple[tuple[int, int], ...] = ()


class MirroredForward:
    """The mean of a network over all combinations of ``mirrors``, the plain image among them.

    It returns logits (B, K, h, w, d) whose probabilities are the mean of the members'. With ``has_information`` a last
    map follows, the mutual information of class and member: the entropy of the mean less the mean of the members'
    entropies (nats).

    Args:
        forward: returns the logits of windows (B, C, h, w, d).
        mirrors: the axes to flip.
        has_information: whether to add the map.
        target: the meaning of the logits.
    """

    def __init__(
        self,
        forward: Forward,
        mirrors: Sequence[Mirror],
        *,
        has_information: bool = False,
        target: Target = EXCLUSIVE,
    ) -> None:
        self._target = target
        self._forward = forward
        self._has_information = has_information
        self._members = [
            chosen for number in range(len(mirrors) + 1) for chosen in itertools.combinations(mirrors, number)
        ]

    def __call__(self, windows: Tensor) -> Tensor:
        """Return the logits of the mean probabilities of ``windows``."""
        total, entropy = torch.zeros(()), torch.zeros(())
        for member in self._members:
            probabilities = self._probabilities(windows, member)
            total = total.to(windows.device) + probabilities
            if self._has_information:
                entropy = entropy.to(windows.device) + self._target.entropy(probabilities, dim=1, keepdim=True)
        mean = total / len(self._members)
        logits = self._target.logits(mean)
        if not self._has_information:
            return logits
        information = self._target.entropy(mean, dim=1, keepdim=True) - entropy / len(self._members)
        return torch.cat([logits, information.clamp(min=0)], dim=1)

    def _probabilities(self, windows: Tensor, member: tuple[Mirror, ...]) -> Tensor:
        axes = [2 + mirror.axis for mirror in member]
        logits = self._forward(windows.flip(axes) if axes else windows).float()
        found = self._target.probabilities(logits, dim=1)
        order = list(range(found.shape[1]))
        for first, second in (pair for mirror in member for pair in mirror.pairs):
            order[first], order[second] = order[second], order[first]
        found = found[:, order] if order != sorted(order) else found
        return found.flip(axes) if axes else found
