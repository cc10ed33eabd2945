"""Checkpoints of a run: last, the one before, and the best; and a clean stop on Ctrl-C."""

import logging
import math
import pickle
import shutil
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.atomic_files import replaced_atomically
from aunet.training.accumulation import makes_step
from aunet.training.ranks import any_rank, rank

_log = logging.getLogger(__name__)

MONITORED = "val/dice"


def is_better(score: float, best: float) -> bool:
    """Return whether an epoch with this validation Dice takes the place of the best one.

    If no validation case has any class, the Dice is undefined in every epoch: then the latest one is the best, as
    nothing speaks against training as long as was asked for.
    """
    return math.isnan(score) or score > best


class RunInterruptedError(Exception):
    """The user or the system asked the run to stop; what was saved last is on disk."""


class Checkpoints(Callback):
    """Writes ``last.ckpt`` after each epoch, every few minutes and on request to stop, ``best.ckpt`` as scores rise.

    The score is the mean Dice of the classes that some validation reference has; see ``is_better`` if there is none.

    On the first SIGINT or SIGTERM the step at hand is finished and saved, then ``RunInterruptedError`` is raised.
    A SIGINT after that stops at once; the last complete checkpoint stays. SIGTERM comes from machines, which may say
    it twice and mean it once.

    Args:
        folder: ``checkpoints/`` of the run.
        minutes: longest time of training that a crash may cost; None for an epoch.
    """

    def __init__(self, folder: Path, minutes: float | None = None) -> None:
        self._folder = folder
        self._minutes = minutes
        self._last_save = time.monotonic()
        self.best_score = float("-inf")
        self.best_epoch: int | None = None
        self._is_stop_requested = False
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def newest(self) -> Path | None:
        """The last checkpoint that can be read, said in one line where it is not the last; None in a new run."""
        for name in ("last.ckpt", "previous.ckpt"):
            path = self._folder / name
            if not path.is_file():
                continue
            if is_readable(path):
                _log.info("Going on from %s", path)
                return path
            _log.warning("%s is damaged and left out.", path)
            path.rename(path.with_suffix(".damaged"))  # it must not take the place of the one before
        return None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over SIGINT and SIGTERM for the time of the training."""
        self._last_save = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous_handlers[number] = signal.signal(number, self._request_stop)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time, stop if asked to; after the last step of an epoch its validation comes first.

        Between two optimizer steps nothing is saved: a checkpoint does not hold the gradient of a group of batches.
        """
        if trainer.is_last_batch or trainer.should_stop or not makes_step(trainer, batch_idx):
            return
        is_stop = any_rank(self._is_stop_requested)
        if is_stop or any_rank(self._is_save_due()):
            self._save(trainer, "last.ckpt")
        if is_stop:
            raise RunInterruptedError

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best epoch so far, then the last."""
        score = float(trainer.callback_metrics.get(MONITORED, float("nan")))
        if is_better(score, self.best_score):
            self.best_score = self.best_score if math.isnan(score) else score
            self.best_epoch = trainer.current_epoch
            self._save(trainer, "best.ckpt")
            self._copy_best_as_last()
        else:
            self._save(trainer, "last.ckpt")
        if any_rank(self._is_stop_requested):
            raise RunInterruptedError

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers.clear()

    def state_dict(self) -> dict[str, Any]:
        """Best score so far and its epoch."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on comparing with the best score of the part before."""
        self.best_score, self.best_epoch = state_dict["best_score"], state_dict["best_epoch"]

    def _is_save_due(self) -> bool:
        return self._minutes is not None and time.monotonic() - self._last_save >= self._minutes * 60

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        if self._is_stop_requested and number == signal.SIGINT:
            raise RunInterruptedError
        if self._is_stop_requested:
            return
        self._is_stop_requested = True
        _log.warning("Stopping after this step, with a checkpoint; once more to stop at once.")

    def _save(self, trainer: Trainer, name: str) -> None:
        path = self._folder / name
        self._last_save = time.monotonic()
        if rank() != 0:
            trainer.save_checkpoint(path)  # takes part, writes nothing
            return
        with replaced_atomically(path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)  # with optimizer and progress; read as tensors only
            if name == "last.ckpt":
                self._keep_previous()

    def _copy_best_as_last(self) -> None:
        """Write what ``best.ckpt`` holds as ``last.ckpt``: a fifth of the time that saving it again takes.

        It is no link, so that damage to one of the files does not reach the other.
        """
        if rank() == 0:
            with replaced_atomically(self._folder / "last.ckpt") as temporary:
                shutil.copyfile(self._folder / "best.ckpt", temporary)
                self._keep_previous()

    def _keep_previous(self) -> None:
        last = self._folder / "last.ckpt"
        if last.exists():
            last.replace(self._folder / "previous.ckpt")


def is_readable(path: Path) -> bool:
    """Tell if a checkpoint holds a state dict; one that was cut short does not."""
    try:
        return "state_dict" in torch.load(path, map_location="meta", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError):
        return False
