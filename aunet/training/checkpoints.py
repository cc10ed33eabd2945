"""Checkpoints of a run: last, the one before, and the best; and a clean stop on Ctrl-C."""

import logging
import pickle
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.atomic_files import replaced_atomically

_log = logging.getLogger(__name__)

MONITORED = "val/dice"


class RunInterruptedError(Exception):
    """The user or the system asked the run to stop; what was saved last is on disk."""


class Checkpoints(Callback):
    """Writes ``last.ckpt`` after each epoch and on request to stop, ``best.ckpt`` when the validation Dice rises.

    On the first SIGINT or SIGTERM the step at hand is finished and saved, then ``RunInterruptedError`` is raised.
    A SIGINT after that stops at once; the last complete checkpoint stays. SIGTERM comes from machines, which may say
    it twice and mean it once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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
            if _is_readable(path):
                _log.info("Going on from %s", path)
                return path
            _log.warning("%s is damaged and left out.", path)
        return None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over SIGINT and SIGTERM for the time of the training."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous_handlers[number] = signal.signal(number, self._request_stop)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Save and stop here if asked to; after the last step of an epoch its validation comes first."""
        if self._is_stop_requested and not trainer.is_last_batch:
            self._save(trainer, "last.ckpt")
            raise RunInterruptedError

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best epoch so far, then the last."""
        score = float(trainer.callback_metrics.get(MONITORED, float("nan")))
        if score > self.best_score:
            self.best_score, self.best_epoch = score, trainer.current_epoch
            self._save(trainer, "best.ckpt")
        self._save(trainer, "last.ckpt")
        if self._is_stop_requested:
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

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        if self._is_stop_requested and number == signal.SIGINT:
            raise RunInterruptedError
        if self._is_stop_requested:
            return
        self._is_stop_requested = True
        _log.warning("Stopping after this step, with a checkpoint; once more to stop at once.")

    def _save(self, trainer: Trainer, name: str) -> None:
        path = self._folder / name
        with replaced_atomically(path) as temporary:
            trainer.save_checkpoint(temporary, weights_only=False)  # with optimizer and progress; read as tensors only
            if name == "last.ckpt" and path.exists():
                path.replace(self._folder / "previous.ckpt")


def _is_readable(path: Path) -> bool:
    try:
        return "state_dict" in torch.load(path, map_location="meta", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError):
        return False
