"""Weights of the classes for any loss: those that take weights themselves, and those with a value for each class."""

import inspect
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from aunet.errors import UserError

_KEY = "loss.class_weights"


class ClassWeighted(nn.Module):
    """The mean over samples and classes of a loss's values, each multiplied by the weight of its class.

    Args:
        loss: (logits, label) -> values (B, K) or (B, K - 1), then without the background; further axes have length 1.
        weights: (K,), the background first.
    """

    weights: Tensor

    def __init__(self, loss: nn.Module, weights: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss of logits (B, K, *spatial) for an integer label (B, 1, *spatial)."""
        values = self.loss(logits, label).flatten(1)
        return (values * self.weights[-values.shape[1] :]).mean()


def list_weights(given: Sequence[float] | Mapping[str, float], class_names: Sequence[str]) -> list[float]:
    """Return a weight for each of ``class_names``; 1 for those that a mapping leaves out.

    Raises:
        UserError: a list of another length, or an unknown class.

    Examples:
        >>> list_weights({"liver": 3}, ["background", "liver", "spleen"])
        [1.0, 3.0, 1.0]
    """
    if isinstance(given, Mapping):
        if unknown := [name for name in given if name not in class_names]:
            raise UserError(f"{_KEY}: there is no class {unknown[0]!r}. The classes are {', '.join(class_names)}.")
        return [float(given.get(name, 1.0)) for name in class_names]
    if len(given) != len(class_names):
        raise UserError(
            f"{_KEY}={list(given)}: {len(given)} weights for {len(class_names)} classes. Give one for each of"
            f" {', '.join(class_names)}, or name some: {{{class_names[-1]}: 3}}."
        )
    return [float(weight) for weight in given]


def build_weighted_loss(make: Callable[..., nn.Module], weights: Sequence[float]) -> nn.Module:
    """Return the loss that ``make(**arguments)`` makes, with ``weights`` of the classes, the background first.

    Raises:
        UserError: the loss has no value for each class.
    """
    values = torch.tensor(weights)
    arguments = inspect.signature(make).parameters
    makers: list[Callable[[], nn.Module]] = []
    if "weight" in arguments:  # some want no weight of a background that they leave out
        makers += [lambda: make(weight=values), lambda: make(weight=values[1:])]
    if "reduction" in arguments and "w_type" not in arguments:  # that one weights the classes by their volume
        makers.append(lambda: ClassWeighted(make(reduction="none"), values))
    for maker in makers:
        try:
            loss = maker()
            _try(loss, len(weights))
            return loss
        except (ValueError, RuntimeError, TypeError):
            continue
    raise UserError(
        f"{_KEY}: this loss has no value for each class, or weights the classes itself. Take another, such as"
        " loss=dice_ce, or leave the weights out."
    )


def _try(loss: nn.Module, num_classes: int) -> None:
    """Raise ValueError unless a small batch has one finite loss."""
    label = torch.arange(4**3).reshape(1, 1, 4, 4, 4) % num_classes
    value: Tensor = loss(torch.zeros(1, num_classes, 4, 4, 4), label)
    if value.numel() != 1 or not bool(value.isfinite()):
        raise ValueError(f"a loss of {value}")
