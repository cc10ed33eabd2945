"""The range test of learning rates: the loss while the rate rises by the same factor each step (Smith 2017)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer

# Weight of the past in the smoothed loss, and how far above its best the loss ends the test.
_SMOOTHING = 0.9
_DIVERGED = 4.0
_FIRST_STEPS = 10


class LearningRateTest(Callback):
    """Keeps rate and loss of each step, and ends the training once the loss has left its best far behind."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Note the step."""
        self.rates.append(float(trainer.optimizers[0].param_groups[0]["lr"]))
        self.losses.append(float(trainer.callback_metrics["train/loss_step"]))
        smoothed = smooth(self.losses)
        if len(smoothed) > _FIRST_STEPS and smoothed[-1] > _DIVERGED * smoothed.min():
            trainer.should_stop = True


def smooth(losses: Sequence[float]) -> NDArray[np.floating]:
    """The exponential mean of the losses so far, each step's own share not less for being early."""
    mean, smoothed = 0.0, np.empty(len(losses))
    for number, loss in enumerate(losses):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        smoothed[number] = mean / (1 - _SMOOTHING ** (number + 1))
    return smoothed


def suggest_learning_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at which the smoothed loss falls fastest per factor of the rate, to two digits; None if it never falls.

    Only rates below that of the least loss are looked at.
    """
    smoothed = smooth(losses)
    lowest = int(np.argmin(smoothed)) + 1
    if lowest < 3:
        return None
    slopes = np.gradient(smoothed[:lowest], np.log(rates[:lowest]))
    best = float(rates[int(np.argmin(slopes))])
    digits = 1 - math.floor(math.log10(best))
    return round(best, digits) if slopes.min() < 0 else None
