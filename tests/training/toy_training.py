"""A linear model in Lightning's own loops, on a clock that only its steps and validations move."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from aunet.build.trainer import build_trainer
from aunet.config.schema import TrainerConfig
from aunet.training.callbacks import run_clock
from aunet.training.callbacks.run_clock import RunClock

_SETTINGS = TrainerConfig(accelerator="cpu", sync_batchnorm=False, deterministic=False, gradient_clip=None)


class ToyTime:
    """A clock whose seconds pass on demand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        """Return the time, as the module ``time`` does."""
        return self.seconds

    def take_the_place_of_time(self, monkeypatch: pytest.MonkeyPatch) -> "ToyTime":
        """Let the run's clock read this one."""
        monkeypatch.setattr(run_clock, "time", SimpleNamespace(monotonic=self.monotonic))
        return self


class LinearTask(LightningModule):
    """Loss w . x of each batch x (N, 3), so that the gradient of a batch is its mean; SGD of rate 1."""

    def __init__(self, time: ToyTime | None = None, step_seconds: float = 0.0, validation_seconds: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1, bias=False)
        self.gradients: list[Tensor] = []
        self.skipped: set[int] = set()  # batches of every epoch whose loss is not finite
        self._time, self._step_seconds, self._validation_seconds = time, step_seconds, validation_seconds

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor | None:
        """Spend a step's time."""
        if self._time:
            self._time.seconds += self._step_seconds
        return None if batch_idx in self.skipped else self.layer(batch).mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Spend a validation's time."""
        if self._time:
            self._time.seconds += self._validation_seconds

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Note the gradient that would be clipped."""
        gradient = self.layer.weight.grad
        self.gradients.append(torch.zeros(3) if gradient is None else gradient[0].clone())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=1.0)


class RateNotes(Callback):
    """Notes the learning rate's share with which every optimizer step is made, and where the training ends."""

    def __init__(self, clock: RunClock, schedule: Callable[[float], float]) -> None:
        self._clock, self._schedule = clock, schedule
        self._share = 0.0
        self.shares: list[float] = []
        self.epochs: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        """Ask for the share as the training does."""
        self._share = self._schedule(self._clock.progress(trainer.global_step))

    def on_before_optimizer_step(self, trainer: Trainer, *args: Any) -> None:
        """Note it."""
        self.shares.append(self._share)
        self.epochs.append(trainer.current_epoch)


class ValidatedEpochs(Callback):
    """Notes which epochs are validated."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch."""
        self.epochs.append(trainer.current_epoch)


def train(
    task: LinearTask,
    callbacks: Sequence[Callback],
    *,
    batches: Sequence[Tensor] | int,
    max_epochs: int,
    accumulate: int = 1,
    checkpoint: Path | None = None,
) -> Trainer:
    """Fit ``task`` with a run's own trainer, validated on one batch an epoch."""
    data = [torch.ones(2, 3)] * batches if isinstance(batches, int) else list(batches)
    settings = replace(_SETTINGS, max_epochs=max_epochs, accumulate=accumulate)
    choice: Any = SimpleNamespace(lightning_precision="32-true")
    trainer = build_trainer(settings, callbacks, choice, Path(), task.layer)
    loader = DataLoader(data, batch_size=None)  # pyright: ignore[reportArgumentType]
    validation = DataLoader([torch.ones(2, 3)], batch_size=None)  # pyright: ignore[reportArgumentType]
    trainer.fit(task, loader, validation, ckpt_path=checkpoint, weights_only=True)
    return trainer
