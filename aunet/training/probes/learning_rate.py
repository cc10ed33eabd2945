"""The learning-rate range test: the loss while the rate rises by the same factor each step (Smith 2017)."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer

# Weight of the past in the smoothed loss, and the multiple of its minimum that ends the test.
_SMOOTHING = 0.9
_DIVERGED = 4.0
_FIRST_STEPS = 10


class LearningRateTest(Callback):
    """Callback that records rate and loss of each step, and ends the training once the loss has diverged."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Record the step, and stop if the loss has diverged."""
        self.rates.append(float(trainer.optimizers[0].param_groups[0]["lr"]))
        self.losses.append(float(trainer.callback_metrics["train/loss_step"]))
        smoothed = smooth(self.losses)
        if len(smoothed) > _FIRST_STEPS and smoothed[-1] > _DIVERGED * smoothed.min():
            trainer.should_stop = True


def smooth(losses: Sequence[float]) -> NDArray[np.floating]:
    """Return the exponential moving average of the losses, corrected for the bias of the early steps."""
    mean, smoothed = 0.0, np.empty(len(losses))
    for number, loss in enumerate(losses):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        smoothed[number] = mean / (1 - _SMOOTHING ** (number + 1))
    return smoothed


def suggest_learning_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the rate at which the smoothed loss falls fastest per factor of the rate, to two digits.

    Only rates up to that of the lowest loss are considered. None if these are fewer than 3 or the loss never falls.
    """
    smoothed = smooth(losses)
    lowest = int(np.argmin(smoothed)) + 1
    if lowest < 3:
        return None
    slopes = np.gradient(smoothed[:lowest], np.log(rates[:lowest]))
    best = float(rates[int(np.argmin(slopes))])
    digits = 1 - math.floor(math.log10(best))
    return round(best, digits) if slopes.min() < 0 else None
