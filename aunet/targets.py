"""The target of a network: how a label map becomes channels, how logits become probabilities and a label map.

``ExclusiveClasses`` has a channel for each class, the background first, and a softmax over them. ``Regions`` has a
channel for each region, without a background, and a sigmoid for each alone; voxels above 1/2 are painted region by
region (nnU-Net's region-based training). Letters: B samples, K channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aunet.classes import IGNORED, Labels

# Logit of what is impossible: beside any logit of a network its exp is 0 in float32, and it lies within float16. Minus
# infinity would turn 0 * log 0 into NaN.
IMPOSSIBLE = -1e4
# Bounds of probabilities whose logarithm is taken, as they may underflow to 0 or round to 1.
_SMALLEST, _LARGEST = 1e-30, 1 - 2.0**-24


@dataclass(frozen=True)
class Problem:
    """A softmax problem that part of a network's logits solves, the background first.

    Attributes:
        levels: logits (B, classes, *spatial) of each supervised level.
        label: (B, 1, *spatial) integers.
        annotated: (B, classes) bool, or None if every reference annotates every class.
    """

    levels: Sequence[Tensor]
    label: Tensor
    annotated: Tensor | None


class Target(ABC):
    """The meaning of the channels of a network's logits."""

    @abstractmethod
    def problems(self, levels: Sequence[Tensor], label: Tensor, annotated: Tensor | None) -> Iterator[Problem]:
        """Yield the softmax problems into which logits, label and annotated classes divide; the loss is their mean."""

    @abstractmethod
    def probabilities(self, logits: Tensor, dim: int = 0) -> Tensor:
        """Return the probability of each channel; ``dim`` is the axis of the channels."""

    @abstractmethod
    def logits(self, probabilities: Tensor) -> Tensor:
        """Return finite logits whose ``probabilities`` these are."""

    @abstractmethod
    def label_map(self, logits: Tensor) -> Tensor:
        """Return the label map (*spatial) uint8 of logits (K, *spatial)."""

    @abstractmethod
    def label_of_maps(self, maps: Iterable[Tensor], threshold: float = 0.0) -> Tensor:
        """Return the label map (*spatial) uint8 of the channels (*spatial), one in memory at a time.

        ``threshold`` is 0 for logits and 1/2 for probabilities; only regions have one.
        """

    @abstractmethod
    def entropy(self, probabilities: Tensor, dim: int = 0, *, keepdim: bool = False) -> Tensor:
        """Return the entropy (nats) of a voxel's classes, summed over the channels along ``dim``."""

    @abstractmethod
    def fill_background(self, channels: Tensor, is_background: Tensor, *, are_logits: bool = True) -> Tensor:
        """Set the voxels ``is_background`` of ``channels`` (K, *spatial) to certain background, in place."""


class ExclusiveClasses(Target):
    """A class for each voxel: softmax, and the class with the highest logit."""

    def problems(self, levels: Sequence[Tensor], label: Tensor, annotated: Tensor | None) -> Iterator[Problem]:
        """Yield the one problem of all classes."""
        yield Problem(levels, label, annotated)

    def probabilities(self, logits: Tensor, dim: int = 0) -> Tensor:
        """Return the softmax over the channels."""
        return logits.softmax(dim=dim)

    def logits(self, probabilities: Tensor) -> Tensor:
        """Return the logarithm."""
        return probabilities.clamp(min=_SMALLEST).log()

    def label_map(self, logits: Tensor) -> Tensor:
        """Return the first channel with the highest logit."""
        return logits.argmax(dim=0).to(torch.uint8)

    def label_of_maps(self, maps: Iterable[Tensor], threshold: float = 0.0) -> Tensor:
        """Return the first channel with the highest value."""
        channels = iter(maps)
        highest = next(channels).clone()
        label = torch.zeros(highest.shape, dtype=torch.uint8)
        for index, candidate in enumerate(channels, start=1):
            label.masked_fill_(candidate > highest, index)
            torch.maximum(highest, candidate, out=highest)
        return label

    def entropy(self, probabilities: Tensor, dim: int = 0, *, keepdim: bool = False) -> Tensor:
        """Return - sum of p log p, with 0 log 0 = 0."""
        return torch.special.entr(probabilities).sum(dim=dim, keepdim=keepdim)

    def fill_background(self, channels: Tensor, is_background: Tensor, *, are_logits: bool = True) -> Tensor:
        """Leave the background as the only possible class."""
        channels.masked_fill_(is_background, IMPOSSIBLE if are_logits else 0)
        channels[0].masked_fill_(is_background, 0 if are_logits else 1)
        return channels


class Regions(Target):
    """Regions that may overlap: a sigmoid each, painted in order where the probability exceeds 1/2."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels

    def problems(self, levels: Sequence[Tensor], label: Tensor, annotated: Tensor | None) -> Iterator[Problem]:
        """Yield for each region the problem of two classes, the rest and the region.

        The logits are [0, x], whose softmax is sigmoid(x) and whose cross-entropy is the binary one, so that every loss
        of classes serves for regions too.
        """
        is_ignored = label == IGNORED
        for channel, (index, _) in enumerate(self._labels.foreground):
            binary = self._labels.mask(label, index).to(label.dtype).masked_fill_(is_ignored, IGNORED)
            pairs = [level[:, channel : channel + 1] for level in levels]
            yield Problem(
                [torch.cat([torch.zeros_like(pair), pair], dim=1) for pair in pairs],
                binary,
                None if annotated is None else annotated[:, [0, index]],
            )

    def probabilities(self, logits: Tensor, dim: int = 0) -> Tensor:
        """Return the sigmoid of each channel."""
        return logits.sigmoid()

    def logits(self, probabilities: Tensor) -> Tensor:
        """Return log p / (1 - p)."""
        return probabilities.clamp(_SMALLEST, _LARGEST).logit()

    def label_map(self, logits: Tensor) -> Tensor:
        """Return the regions painted in order where their logit is positive."""
        return self.label_of_maps(logits)

    def label_of_maps(self, maps: Iterable[Tensor], threshold: float = 0.0) -> Tensor:
        """Return the regions painted in order where the value exceeds ``threshold``; NaN paints nothing."""
        label: Tensor | None = None
        for index, values in enumerate(maps, start=1):
            if label is None:
                label = torch.zeros(values.shape, dtype=torch.uint8, device=values.device)
            label.masked_fill_(values > threshold, index)
        assert label is not None, "no channel"
        return label

    def entropy(self, probabilities: Tensor, dim: int = 0, *, keepdim: bool = False) -> Tensor:
        """Return the sum of the binary entropies, the joint entropy of regions that are independent."""
        binary = torch.special.entr(probabilities) + torch.special.entr(1 - probabilities)
        return binary.sum(dim=dim, keepdim=keepdim)

    def fill_background(self, channels: Tensor, is_background: Tensor, *, are_logits: bool = True) -> Tensor:
        """Rule every region out."""
        return channels.masked_fill_(is_background, IMPOSSIBLE if are_logits else 0)


EXCLUSIVE = ExclusiveClasses()


def target_of(labels: Labels) -> Target:
    """Return the target that ``labels`` describe."""
    return Regions(labels) if labels.regions else EXCLUSIVE
