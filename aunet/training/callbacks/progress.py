"""Display of a training: one bar with the expected end of all epochs, and one line per epoch."""

import logging
import time

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.progress import Progress

from aunet.messages import clock_words, duration_words, rounded
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.validation_pace import is_validated

_log = logging.getLogger(__name__)


class ProgressDisplay(Callback):
    """Callback that moves the bar of ``progress`` with the run's clock, and logs a line for each epoch.

    Both show the recent steps per second and the expected end of the training, validations included.
    """

    def __init__(self, progress: Progress, clock: RunClock) -> None:
        self._progress = progress
        self._clock = clock
        self._bar = progress.add_task("Training", total=1.0, visible=False)
        self._epoch_start = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar, for a resumed run at the share already done."""
        self._progress.reset(self._bar, visible=True)
        self._show(trainer, "Training", trainer.current_epoch)
        self._epoch_start = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        self._epoch_start = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object, **kwargs: object) -> None:
        """Move the bar."""
        loss = float(trainer.callback_metrics.get("train/loss_step", float("nan")))
        self._show(trainer, f"{_epoch_words(trainer)}  loss {loss:.3f}{self._speed()}", trainer.current_epoch)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show that the network is being validated."""
        self._show(trainer, f"{_epoch_words(trainer)}  validating{self._speed()}", trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's scores, its speed and the expected end."""
        self._show(trainer, f"{_epoch_words(trainer)}  recording{self._speed()}", trainer.current_epoch + 1)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        prefix = "val/dice/"
        dice = ", ".join(
            f"{name.removeprefix(prefix)} {v:.3f}" for name, v in metrics.items() if name.startswith(prefix)
        )
        scores = f"validation Dice {metrics.get('val/dice', float('nan')):.3f} ({dice})"
        _log.info(
            "epoch %s  loss %.3f  %s  %.0f s%s%s",
            _number_and_count(trainer),
            metrics.get("train/loss", float("nan")),
            scores if is_validated(trainer) else "not validated",
            time.monotonic() - self._epoch_start,
            self._speed().replace("  ", ", "),
            self._time_left(trainer),
        )
        self._progress.update(self._bar, logged=time.monotonic())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hide the bar."""
        self._progress.update(self._bar, visible=False)

    def _show(self, trainer: Trainer, text: str, epochs: int) -> None:
        left = self._clock.remainder(trainer.global_step, epochs)
        end = None if left is None else time.monotonic() + left.seconds
        done = self._clock.progress(trainer.global_step)
        self._progress.update(self._bar, completed=done, description=text, end=end)

    def _speed(self) -> str:
        speed = self._clock.steps_per_second
        return "" if speed is None else f"  {rounded(speed)} steps/s"

    def _time_left(self, trainer: Trainer) -> str:
        left = self._clock.remainder(trainer.global_step, trainer.current_epoch + 1)
        if left is None or left.steps == 0 or trainer.should_stop:
            return ""
        return f", {duration_words(left.seconds)} left, until {clock_words(left.seconds)}"


def _epoch_words(trainer: Trainer) -> str:
    return f"Epoch {_number_and_count(trainer)}"


def _number_and_count(trainer: Trainer) -> str:
    # Files and pictures count epochs from 0, so the number alone would leave open which of them is meant.
    return f"{trainer.current_epoch} ({trainer.current_epoch + 1} of {trainer.max_epochs})"
