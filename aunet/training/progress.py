"""What the user sees of a training: one bar with an estimate for the whole run, one line an epoch."""

import logging
import time
from datetime import timedelta
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.progress import Progress

from aunet.training.run_clock import RunClock

_log = logging.getLogger(__name__)


class ProgressDisplay(Callback):
    """Moves the bar of ``progress`` with the run's clock and tells each epoch in a line."""

    def __init__(self, progress: Progress, clock: RunClock) -> None:
        self._progress = progress
        self._clock = clock
        self._bar = progress.add_task("Training", total=1.0, visible=False)
        self._epoch_start = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar where a resumed run stands."""
        done = self._clock.progress(trainer.global_step)
        self._progress.reset(self._bar, visible=True)
        self._progress.update(self._bar, completed=done)
        self._epoch_start = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the epoch."""
        self._epoch_start = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Move the bar."""
        loss = float(trainer.callback_metrics.get("train/loss_step", float("nan")))
        text = f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {loss:.3f}"
        self._progress.update(self._bar, completed=self._clock.progress(trainer.global_step), description=text)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say that the network is being validated."""
        self._progress.update(
            self._bar, description=f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  validating"
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the epoch."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        prefix = "val/dice/"
        dice = ", ".join(
            f"{name.removeprefix(prefix)} {v:.3f}" for name, v in metrics.items() if name.startswith(prefix)
        )
        _log.info(
            "epoch %d/%s  loss %.3f  validation Dice %.3f (%s)  %.0f s%s",
            trainer.current_epoch + 1,
            trainer.max_epochs,
            metrics.get("train/loss", float("nan")),
            metrics.get("val/dice", float("nan")),
            dice,
            time.monotonic() - self._epoch_start,
            self._time_left(trainer),
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._progress.update(self._bar, visible=False)

    def _time_left(self, trainer: Trainer) -> str:
        left = self._clock.seconds_left(trainer.global_step)
        return "" if left is None else f", about {timedelta(seconds=round(left))} left"
