"""The end of a training that no longer improves."""

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

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what a resumed run knew."""
        if self.wait_count < self.patience:
            return
        if trainer.global_step == self._extended_at:
            self.wait_count = 0
        else:
            trainer.should_stop = True
