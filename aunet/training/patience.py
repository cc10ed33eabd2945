"""The end of a training that no longer improves."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.training.checkpoints import MONITORED, is_better


class Patience(Callback):
    """Ends the training after ``epochs`` without a better validation Dice; a run that ended so stays ended.

    Lightning's own looks at an epoch only after its checkpoint is written, so that a resumed run would wait longer.

    Args:
        epochs: how long to wait.
        extended_at: optimizer step at which a run that had ended was extended; the waiting then begins anew.
    """

    def __init__(self, epochs: int, extended_at: int | None = None) -> None:
        self._epochs = epochs
        self._extended_at = extended_at
        self._resumed_at: int | None = None
        self._best = float("-inf")
        self._waited = 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch. If no validation case has any class, none is worse than another: nothing ends early."""
        score = float(trainer.callback_metrics.get(MONITORED, float("nan")))
        self._waited = 0 if is_better(score, self._best) else self._waited + 1
        self._best = score if score > self._best else self._best
        trainer.should_stop = trainer.should_stop or self._waited >= self._epochs

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the optimizer step that the run goes on from."""
        self._resumed_at = checkpoint["global_step"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End at once where the patience was used up, or wait anew where the run was extended since."""
        if self._waited < self._epochs:
            return
        if self._resumed_at == self._extended_at:
            self._waited = 0
        else:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Best score so far and epochs since."""
        return {"best": self._best, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on waiting."""
        self._best, self._waited = state_dict["best"], state_dict["waited"]
