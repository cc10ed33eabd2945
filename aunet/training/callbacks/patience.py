"""The end of a training that no longer improves."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.training.callbacks.checkpoints import MONITORED, is_better
from aunet.training.validation_pace import is_validated


class Patience(Callback):
    """Callback that ends the training after ``epochs`` without a better validation Dice; a resumed run stays ended.

    Lightning's own callback checks an epoch only after its checkpoint is written, so a resumed run would wait longer.

    Args:
        epochs: how long to wait.
        extended_at: optimizer step at which a run that had ended was extended; the wait then starts anew.
    """

    def __init__(self, epochs: int, extended_at: int | None = None) -> None:
        self._epochs = epochs
        self._extended_at = extended_at
        self._resumed_at: int | None = None
        self._best = float("-inf")
        self._waited = 0  # epochs since the best, up to the last validated one
        self._unvalidated = 0  # epochs since that one

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch, and stop if the patience is used up.

        If no validation case has any class, no epoch is worse than another, so nothing ends early.
        """
        if not is_validated(trainer):
            self._unvalidated += 1
            return
        score = float(trainer.callback_metrics.get(MONITORED, float("nan")))
        self._waited = 0 if is_better(score, self._best) else self._waited + self._unvalidated + 1
        self._unvalidated = 0
        self._best = score if score > self._best else self._best
        trainer.should_stop = trainer.should_stop or self._waited >= self._epochs

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Record the optimizer step from which the run continues."""
        self._resumed_at = checkpoint["global_step"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End at once if the patience was used up, or wait anew if the run was extended since."""
        if self._waited < self._epochs:
            return
        if self._resumed_at == self._extended_at:
            self._waited = 0
        else:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, object]:
        """Return the best score so far and the number of epochs since, those not validated yet apart."""
        return {"best": self._best, "waited": self._waited, "unvalidated": self._unvalidated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score and the number of epochs since; older checkpoints count all as waited."""
        self._best, self._waited = state_dict["best"], state_dict["waited"]
        self._unvalidated = state_dict.get("unvalidated", 0)
