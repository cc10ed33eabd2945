"""Which epochs are validated, also in a run that is resumed in the middle of one."""

from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.training.validation_pace import ValidationOfStop, ValidationPace
from tests.training.toy_training import LinearTask, ValidatedEpochs, train


class SavedAfter(Callback):
    """Saves a checkpoint after an optimizer step, as a run that is stopped does."""

    def __init__(self, step: int, path: Path) -> None:
        self._step, self._path = step, path

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Save after the step."""
        if trainer.global_step == self._step:
            trainer.save_checkpoint(self._path)


def validated_epochs(*callbacks: Callback, checkpoint: Path | None = None) -> list[int]:
    """Return the validated ones of seven epochs of three steps; every third is due."""
    validated = ValidatedEpochs()
    own = [ValidationPace(3), validated, ValidationOfStop(), *callbacks]
    train(LinearTask(), own, batches=3, max_epochs=7, checkpoint=checkpoint)
    return validated.epochs


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint")  # the toy's batches are all alike
@pytest.mark.parametrize("step", [1, 3, 5])  # in the middle and at the end of the first epoch, in the second
def test_a_resumed_run_validates_the_same_epochs(step: int, tmp_path: Path) -> None:
    assert validated_epochs(SavedAfter(step, tmp_path / "stopped.ckpt")) == [2, 5, 6]
    assert validated_epochs(checkpoint=tmp_path / "stopped.ckpt") == [2, 5, 6]


class LoggedAtValidation(Callback):
    """Logs a value of its own with each validation, and notes what every epoch ends with."""

    def __init__(self) -> None:
        self.seen: list[float | None] = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the number of the epoch."""
        self.log("weights/norm", float(trainer.current_epoch))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the value."""
        value = trainer.callback_metrics.get("weights/norm")
        self.seen.append(None if value is None else float(value))


def test_an_epoch_without_validation_has_no_value_of_an_earlier_one() -> None:
    logged = LoggedAtValidation()
    assert validated_epochs(logged) == [2, 5, 6]
    assert logged.seen == [None, None, 2, None, None, 5, 6]
