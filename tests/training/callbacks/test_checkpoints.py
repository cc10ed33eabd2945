"""Which checkpoint a run continues from, and which epoch counts as the best."""

import shutil
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.errors import UserError
from aunet.training.callbacks.checkpoints import MONITORED, Checkpoints, is_readable
from aunet.training.callbacks.patience import Patience
from aunet.training.validation_pace import ValidationPace
from tests.training.toy_training import LinearTask, train


def write(path: Path) -> Path:
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, path)
    return path


def test_a_new_run_has_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).newest() is None


def test_the_last_one_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "previous.ckpt")
    last = write(tmp_path / "last.ckpt")
    assert Checkpoints(tmp_path).newest() == last


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None], ids=["empty", "garbage", "truncated"])
def test_a_damaged_last_one_is_reported_and_left_for_the_one_before(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    previous, last = write(tmp_path / "previous.ckpt"), write(tmp_path / "last.ckpt")
    last.write_bytes(last.read_bytes()[:300] if damage is None else damage)
    assert Checkpoints(tmp_path).newest() == previous
    assert "last.ckpt is damaged" in caplog.text


class CountedSaves(Callback):
    """Counts how often the trainer gathers a checkpoint."""

    count = 0

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count one more."""
        self.count += 1


class ScoredTask(LinearTask):
    """Logs a given validation Dice after each epoch."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self._scores = scores

    def on_validation_epoch_end(self) -> None:
        """Log the next one."""
        self.log(MONITORED, self._scores[self.current_epoch])


@pytest.mark.parametrize(
    ("scores", "best", "epochs"),
    [
        ([0.2, 0.5, 0.4, 0.5, 0.3, 0.9], 1, 4),
        ([nan] * 6, 5, 6),  # no validation case has any class: the last epoch, and no early end
        ([0.0, nan, nan, nan, nan, nan], 5, 6),  # resumed from a score of false positives alone
        ([0.0] * 6, 0, 3),  # nothing is found of a class that is there
    ],
)
def test_the_best_epoch_and_the_end_by_patience(scores: list[float], best: int, epochs: int, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    callbacks: list[Callback] = [Patience(2), checkpoints]
    trainer = train(ScoredTask(scores), callbacks, batches=1, max_epochs=6)
    assert trainer.current_epoch == epochs
    assert checkpoints.best_epoch == best
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == best


class KeptFile(Callback):
    """Copies the last checkpoint of an epoch."""

    def __init__(self, epoch: int, path: Path) -> None:
        self._epoch, self.path = epoch, path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self._epoch:
            shutil.copy(self.path.with_name("last.ckpt"), self.path)


def test_a_run_resumed_between_two_validations_waits_for_the_next_one(tmp_path: Path) -> None:
    """Epochs 4, 9 and 14 are validated; after the three epochs 5 to 7 the patience of 3 is not used up."""
    scores = [0.4 if epoch < 9 else 0.5 for epoch in range(20)]
    kept = KeptFile(7, tmp_path / "kept.ckpt")
    whole = train(
        ScoredTask(scores),
        [ValidationPace(5), Patience(3), Checkpoints(tmp_path), kept],
        batches=1,
        max_epochs=20,
    )
    assert whole.current_epoch == 15
    rest: list[Callback] = [ValidationPace(5), Patience(3), Checkpoints(tmp_path / "rest")]
    assert train(ScoredTask(scores), rest, batches=1, max_epochs=20, checkpoint=kept.path).current_epoch == 15


def test_an_epoch_that_is_the_best_is_saved_once_for_both_files(tmp_path: Path) -> None:
    saves = CountedSaves()
    train(ScoredTask([0.2, 0.5, 0.4]), [Checkpoints(tmp_path), saves], batches=1, max_epochs=3)
    assert saves.count == 3


def test_the_last_file_of_a_best_epoch_is_the_best_file_and_the_one_before_is_kept(tmp_path: Path) -> None:
    train(ScoredTask([0.4, 0.2, 0.5]), [Checkpoints(tmp_path)], batches=1, max_epochs=3)
    best, last, previous = (
        torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("best", "last", "previous")
    )
    assert (best["epoch"], last["epoch"], previous["epoch"]) == (2, 2, 1)
    assert (tmp_path / "last.ckpt").read_bytes() == (tmp_path / "best.ckpt").read_bytes()


def test_damage_to_the_last_file_does_not_reach_the_best_one(tmp_path: Path) -> None:
    train(ScoredTask([0.4]), [Checkpoints(tmp_path)], batches=1, max_epochs=1)
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    assert is_readable(tmp_path / "best.ckpt")


class Remembering(Callback):
    """Keeps a state that torch saves, but does not read as plain values."""

    def state_dict(self) -> dict[str, Any]:
        """Return a NumPy number."""
        return {"best": np.float64(1)}


def test_a_callback_whose_state_could_not_be_read_again_is_refused_at_the_first_save(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Remembering\.state_dict returns objects that a checkpoint cannot restore"):
        train(LinearTask(), [Remembering(), Checkpoints(tmp_path)], batches=2, max_epochs=1)
    assert not (tmp_path / "last.ckpt").exists()


def test_a_sound_checkpoint_with_foreign_objects_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "callbacks": {"mine": np.float64(1)}}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="objects besides tensors and plain values"):
        Checkpoints(tmp_path).newest()
    assert (tmp_path / "last.ckpt").is_file()
