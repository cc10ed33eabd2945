"""Validation of every n-th epoch and of the last; epochs between have a loss and no Dice."""

from pytorch_lightning import Callback, LightningModule, Trainer

_NEVER = 10**9


def is_validated(trainer: Trainer) -> bool:
    """Return whether the present epoch ends with a validation."""
    return trainer.check_val_every_n_epoch in (None, 1)


class ValidationPace(Callback):
    """Callback that lets ``trainer`` validate every ``epochs``-th epoch and the last.

    It precedes the callbacks that read the scores of an epoch. ``ValidationOfStop`` adds the epoch in which a training
    is stopped.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide for the epoch under way: of one that a run resumes in its middle, Lightning calls no start."""
        self._decide(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide whether this epoch is validated, and forget the values of the one before, which Lightning keeps."""
        trainer.callback_metrics.clear()
        self._decide(trainer)

    def _decide(self, trainer: Trainer) -> None:
        number = trainer.current_epoch + 1
        is_due = number % self._epochs == 0 or number == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if is_due else _NEVER


class ValidationOfStop(Callback):
    """Callback that lets ``trainer`` validate the epoch in which a training is stopped.

    It goes last, behind all callbacks that may stop a training after a step.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object, **kwargs: object) -> None:
        """Validate this epoch if no other follows."""
        if trainer.should_stop:
            trainer.check_val_every_n_epoch = 1
