"""The properties that a network or a gate may state, beyond ``forward``; training and prediction look for these alone.

Any ``nn.Module`` with ``forward(image) -> logits`` can be trained: (B, C, *spatial) -> (B, K, *spatial). A network of
MONAI, which states nothing more, has one loss, no coefficients, and the size multiple of its ``model.size_multiple``.
``isinstance(network, SupervisedNetwork)`` checks for the attributes; nobody need inherit from these classes.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class SizedNetwork(Protocol):
    """A network that accepts images whose sides are multiples of ``size_multiple``, one number per axis."""

    size_multiple: tuple[int, ...]


@runtime_checkable
class SupervisedNetwork(Protocol):
    """A network with one or several outputs that each have a loss."""

    def supervised_logits(self, image: Tensor) -> list[Tensor]:
        """Return logits, each (B, K, *its level's spatial), full resolution first, of an image (B, C, *spatial)."""
        ...


@runtime_checkable
class AttentionNetwork(Protocol):
    """A network that returns its coefficients."""

    def forward_with_attention(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return logits (B, K, *spatial) and {level: coefficients (B, M, *spatial of the level)}, finest level 1."""
        ...


@runtime_checkable
class GatedNetwork(Protocol):
    """A network that describes its gates; those of others are taken to be sigmoids with one map each."""

    @property
    def is_softmax_gate(self) -> bool:
        """Return whether coefficients compete over the whole image, so that windows cannot be stitched."""
        ...

    @property
    def num_gates(self) -> int | None:
        """Return the gates per skip; None if each map is a gate."""
        ...


@runtime_checkable
class NormalizedGate(Protocol):
    """A gate that states whether its coefficients sum to 1 over space; other gates are taken not to."""

    is_normalized_over_space: bool


@runtime_checkable
class ReplaceableGate(Protocol):
    """A gate whose coefficients pass through its module ``applied``, where a forward hook can replace them."""

    applied: nn.Module


def has_softmax_gates(network: nn.Module) -> bool:
    """Return whether coefficients compete over all that the network sees, so that windows cannot be stitched."""
    return isinstance(network, GatedNetwork) and network.is_softmax_gate


def gates_per_skip(network: nn.Module) -> int | None:
    """Return the number of gates per skip; None if the network does not say, or has none."""
    return network.num_gates if isinstance(network, GatedNetwork) else None


def supervised_logits(network: nn.Module, image: Tensor) -> list[Tensor]:
    """Return the logits that have a loss, full resolution first; for most networks their only output.

    Examples:
        >>> import torch
        >>> [tuple(logits.shape) for logits in supervised_logits(nn.Conv3d(1, 2, 1), torch.zeros(1, 1, 4, 4, 2))]
        [(1, 2, 4, 4, 2)]
    """
    return network.supervised_logits(image) if isinstance(network, SupervisedNetwork) else [network(image)]
