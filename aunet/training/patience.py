"""The end of a training that no longer improves."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping

from aunet.training.checkpoints import MONITORED


class Patience(EarlyStopping):
    """Ends the training after ``epochs`` without a better validation Dice; a run that ended so stays ended.

    Args:
        epochs: how long to wait.
        extended_at: optimizer step at which a run that had ended was extended; the waiting then begins anew.
    """

    def __init__(self, epochs: int, extended_at: int | None) -> None:
        super().__init__(MONITORED, patience=epochs, mode="max", check_finite=False)
        self._extended_at = extended_at
        self._resumed_at: int | None = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the optimizer step that the run goes on from."""
        self._resumed_at = checkpoint["global_step"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End at once where the patience was used up, or forget so where the run was extended since."""
        if self.wait_count < self.patience:
            return
        if self._resumed_at == self._extended_at:
            self.wait_count = 0
        else:
            trainer.should_stop = True
