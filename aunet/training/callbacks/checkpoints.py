"""Checkpoints of a run (last, previous and best), and a clean stop on Ctrl-C."""

import io
import logging
import math
import pickle
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.errors import UserError
from aunet.files import replaced_atomically
from aunet.machine import STOPS
from aunet.runs.inner_folders import CheckpointFolder
from aunet.runs.ranks import any_rank, rank
from aunet.runs.tensor_files import UnreadableTensorsError, read_tensors
from aunet.training.callbacks.accumulation import makes_step
from aunet.training.validation_pace import is_validated

_log = logging.getLogger(__name__)

MONITORED = "val/dice"
_Handler = signal.Handlers | int | Callable[[int, FrameType | None], object] | None


def is_better(score: float, best: float) -> bool:
    """Return whether an epoch with this validation Dice replaces the best one.

    If no validation case has any class, the Dice is undefined in every epoch. Then the latest epoch is the best, as
    nothing speaks against the requested length of training.
    """
    return math.isnan(score) or score > best


class RunInterruptedError(Exception):
    """A request by the user or the system to stop the run; the last checkpoint is on disk."""


class Checkpoints(Callback):
    """Callback that writes ``last.ckpt`` after each epoch, every few minutes and on a stop, and ``best.ckpt``.

    The best score is the highest mean Dice of the classes that some validation reference has; see ``is_better`` if
    there is none.

    On the first SIGINT, SIGTERM or SIGHUP (of a terminal that is closed) the current step is finished and saved, then
    ``RunInterruptedError`` is raised.
    A SIGINT after that stops at once; the last complete checkpoint stays. Schedulers may send SIGTERM repeatedly; only
    the first counts.

    Args:
        folder: ``checkpoints/`` of the run.
        minutes: longest training time that a crash may cost; None: an epoch.
    """

    def __init__(self, folder: Path, minutes: float | None = None) -> None:
        self._folder = CheckpointFolder(folder)
        self._minutes = minutes
        self._last_save = time.monotonic()
        self.best_score = float("-inf")
        self.best_epoch: int | None = None
        self._is_stop_requested = False
        self._is_state_checked = False
        self._previous_handlers: dict[signal.Signals, _Handler] = {}

    def newest(self) -> Path | None:
        """Return the newest readable checkpoint, or None in a new run; damaged ones are renamed with a warning."""
        for path in (self._folder.last, self._folder.previous):
            if not path.is_file():
                continue
            if is_readable(path):
                _log.info("Continuing from %s", path)
                return path
            _log.warning("%s is damaged and left out.", path)
            path.rename(path.with_suffix(".damaged"))  # else the next save would replace previous.ckpt by it
        return None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals of a stop for the duration of the training; nohup's SIGHUP stays ignored."""
        self._last_save = time.monotonic()
        for number in STOPS:
            if number.name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._previous_handlers[number] = signal.signal(number, self._request_stop)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save if a save is due, stop if requested; after the last step of an epoch its validation comes first.

        Nothing is saved between two optimizer steps: a checkpoint does not hold the gradient of a group of batches.
        """
        if trainer.is_last_batch or trainer.should_stop or not makes_step(trainer, batch_idx):
            return
        is_stop = any_rank(self._is_stop_requested)
        if is_stop or any_rank(self._is_save_due()):
            self._save(trainer, self._folder.last)
        if is_stop:
            raise RunInterruptedError

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch as ``last.ckpt``, and as ``best.ckpt`` if it is the best so far."""
        score = float(trainer.callback_metrics.get(MONITORED, float("nan")))
        if is_validated(trainer) and is_better(score, self.best_score):
            self.best_score = self.best_score if math.isnan(score) else score
            self.best_epoch = trainer.current_epoch
            self._save(trainer, self._folder.best)
            self._copy_best_as_last()
        else:
            self._save(trainer, self._folder.last)
        if any_rank(self._is_stop_requested):
            raise RunInterruptedError

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the signal handlers, before Lightning restores those that it replaced: SIGTERM ends the test, too."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers.clear()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the signal handlers, as at the end."""
        self.on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, object]:
        """Return the best score so far and its epoch."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score so far and its epoch."""
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

    def _save(self, trainer: Trainer, path: Path) -> None:
        self._last_save = time.monotonic()
        if not self._is_state_checked:
            _check_states(trainer)
            self._is_state_checked = True
        if rank() != 0:
            trainer.save_checkpoint(path)  # a collective call; only rank 0 writes
            return
        with replaced_atomically(path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)  # with optimizer and progress; read as tensors only
            if path == self._folder.last:
                self._keep_previous()

    def _copy_best_as_last(self) -> None:
        """Copy ``best.ckpt`` to ``last.ckpt``, which takes a fifth of the time of saving it again.

        The copy is not a link, so that damage to one of the files does not reach the other.
        """
        if rank() == 0:
            with replaced_atomically(self._folder.last) as temporary:
                shutil.copyfile(self._folder.best, temporary)
                self._keep_previous()

    def _keep_previous(self) -> None:
        last = self._folder.last
        if last.exists():
            last.replace(self._folder.previous)


def is_readable(path: Path) -> bool:
    """Return whether a checkpoint holds a state dict; a truncated one does not.

    Raises:
        UserError: it is sound, but holds objects that are not restored, so it must not be taken for a damaged one.
    """
    try:
        content: object = read_tensors(path, "meta")
    except UnreadableTensorsError as error:
        if error.is_foreign:
            raise UserError(
                f"{path}: holds objects besides tensors and plain values ({error}), which are not restored. Take out"
                " the callback whose state_dict returns them, and train again."
            ) from None
        return False
    return isinstance(content, dict) and "state_dict" in content


def _check_states(trainer: Trainer) -> None:
    """Raise UserError for a callback whose state could be saved, but not be read again."""
    for callback in _callbacks_of(trainer):
        state = callback.state_dict()
        if not state or type(callback).__module__.startswith("aunet."):
            continue
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        try:
            torch.load(file, weights_only=True)
        except pickle.UnpicklingError:
            raise UserError(
                f"trainer.callbacks: {type(callback).__name__}.state_dict returns objects that a checkpoint cannot"
                " restore. Return tensors, numbers, text, and lists and dictionaries of them."
            ) from None


def _callbacks_of(trainer: Trainer) -> list[Callback]:
    callbacks: Any = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]  # set by Lightning's connector
    return list(callbacks)
