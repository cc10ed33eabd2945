"""``metrics.csv`` and ``timing.csv``, one row per epoch; equal seeds produce equal metrics, timing varies."""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.classes import Labels
from aunet.machine import peak_memory_bytes
from aunet.runs.epoch_rows import Row, replace_row
from aunet.runs.run_folder import RunFolder
from aunet.tracking.tracker import Tracker
from aunet.training.validation_pace import is_validated


class EpochTables(Callback):
    """Callback that writes both tables after each epoch; after a resume, rows of repeated epochs are replaced.

    ``metrics.csv`` has a column for every value that the task logs with ``self.log``.

    Args:
        folder: folder of the run.
        labels: the classes.
        batch_size: images per batch.
        tracker: receives the values of each epoch.
        further_values: returns further values of a validated epoch, for the tracker only.
    """

    def __init__(
        self,
        folder: Path,
        labels: Labels,
        batch_size: int,
        tracker: Tracker | None = None,
        further_values: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._run = RunFolder(folder)
        self._labels = labels
        self._batch_size = batch_size
        self._tracker = tracker
        self._further_values = further_values
        self._epoch_start = self._step_end = 0.0
        self._waiting = self._stepping = 0.0
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks, as a run may resume in the middle of an epoch."""
        self._restart_clocks()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clocks."""
        self._restart_clocks()

    def _restart_clocks(self) -> None:
        self._epoch_start = self._step_end = time.monotonic()
        self._waiting = self._stepping = 0.0
        self._steps = 0

    def on_train_batch_start(self, trainer: Trainer, *args: object, **kwargs: object) -> None:
        """Count the time since the last step as waiting for data."""
        now = time.monotonic()
        self._waiting += now - self._step_end
        self._step_end = now

    def on_train_batch_end(self, trainer: Trainer, *args: object, **kwargs: object) -> None:
        """Count the time since the batch arrived as the step."""
        now = time.monotonic()
        self._stepping += now - self._step_end
        self._step_end = now
        self._steps += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's row of each table."""
        if not trainer.is_global_zero:
            return
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        values = {name: logged[name] for name in self._columns(logged)}
        replace_row(self._run.metrics, {"epoch": trainer.current_epoch, **values})
        timing = self._timing()
        replace_row(self._run.timing, {"epoch": trainer.current_epoch, **timing})
        if self._tracker:
            speeds = {f"timing/{name}": float(value) for name, value in timing.items() if value != ""}
            further = self._further_values() if is_validated(trainer) else {}
            self._tracker.metrics({**values, **speeds, **further}, trainer.current_epoch)

    def _columns(self, logged: Collection[str]) -> list[str]:
        """Return the names of the epoch's values: loss, Dice and learning rate first, further ones by name.

        Lightning adds ``_step`` to the name of a single step's value and, beside the plain name, ``_epoch``.
        """
        dice = ["val/dice", *(f"val/dice/{name}" for _, name in self._labels.foreground)]
        usual = ["train/loss", *dice, "learning_rate"]
        repeated = {f"{name}_epoch" for name in logged}
        steps = {name for name in logged if name.endswith("_step")}
        return [*(name for name in usual if name in logged), *sorted({*logged} - {*usual} - repeated - steps)]

    def _timing(self) -> Row:
        trained = self._waiting + self._stepping
        return {
            "images_per_second": round(self._steps * self._batch_size / trained, 3) if trained else "",
            "step_seconds": round(self._stepping / self._steps, 4) if self._steps else "",
            "waiting_share": round(self._waiting / trained, 4) if trained else "",
            "epoch_seconds": round(time.monotonic() - self._epoch_start, 2),
            "peak_memory_mib": round(peak_memory_bytes() / 2**20),
            "peak_gpu_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20)
            if torch.cuda.is_available()
            else "",
        }
