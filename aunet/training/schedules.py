"""Learning-rate schedules: share of the training done -> share of the initial learning rate."""

import math
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from aunet.training.callbacks.checkpoints import MONITORED


def constant(progress: float) -> float:
    """Return 1: the learning rate stays as it is."""
    return 1.0


def polynomial(progress: float, power: float = 0.9, warmup: float = 0.0) -> float:
    """Return (1 - progress)**power, after a linear rise over the first ``warmup`` share of the training.

    Examples:
        >>> polynomial(0.5, power=1.0)
        0.5
    """
    if progress < warmup:
        return max(progress, 1e-3 * warmup) / warmup
    return (1.0 - progress) ** power


def halving(progress: float, times: int = 3) -> float:
    """Halve the learning rate ``times`` times at equal intervals, however long the training is."""
    return 0.5 ** int(min(progress, 1.0 - 1e-9) * (times + 1))


def halving_every(progress: float, epochs: int, max_epochs: int) -> float:
    """Halve the learning rate every ``epochs`` epochs of a training of ``max_epochs`` (released code: every 250).

    The progress is that of the epochs, also in a training that a time limit ends earlier.

    Examples:
        >>> halving_every(0.5, epochs=250, max_epochs=1000)
        0.25
    """
    return 0.5 ** int(progress * max_epochs / epochs + 1e-9)


def rising(progress: float) -> float:
    """Rise from 1/10,000 to 1,000 times the learning rate, by the same factor each step: a range test."""
    return 10.0 ** (7.0 * progress - 4.0)


class ReduceOnPlateau(Callback):
    """A schedule that reduces the learning rate once the validation Dice no longer improves.

    It is torch's ``ReduceLROnPlateau``, and a callback, so that its state is in every checkpoint.

    Args:
        factor: of the learning rate at each reduction.
        patience: validated epochs without a better Dice before a reduction.
        threshold: share by which a Dice must exceed the best to be better.
        cooldown: validated epochs after a reduction that do not count.
        min_share: lowest share of the initial learning rate.
    """

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_share: float = 0.0,
    ) -> None:
        self._rate = SGD([nn.Parameter(torch.zeros(()))], lr=1.0)  # carries the share of the learning rate
        self._plateau = ReduceLROnPlateau(
            self._rate, "max", factor, patience, threshold, cooldown=cooldown, min_lr=min_share
        )

    def __call__(self, progress: float) -> float:
        """Return the share of the initial learning rate, whatever the progress."""
        return float(self._rate.param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch, unless its Dice is undefined."""
        score = float(trainer.callback_metrics.get(MONITORED, math.nan))
        if not math.isnan(score):
            self._plateau.step(score)

    def state_dict(self) -> dict[str, object]:
        """Return the share, the best Dice and the epochs since."""
        return {"share": self(0.0), "plateau": self._plateau.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from an earlier state."""
        self._rate.param_groups[0]["lr"] = state_dict["share"]
        self._plateau.load_state_dict(state_dict["plateau"])
