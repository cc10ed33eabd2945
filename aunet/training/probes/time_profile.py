"""The time of a training, by the parts of an epoch, by torch's operators, and over a whole run."""

import time
from collections.abc import Mapping

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.profiler import ProfilerActivity, profile

from aunet.process_settings import seconds_since_start

# Epochs: the first warms up.
_PARTS_EPOCH = 1
_OPERATORS_EPOCH = 2
EPOCHS_NEEDED = 3

_STEP_PARTS = ("waiting for data", "augmentation, forward pass and loss", "backward pass", "optimizer")
# Parts of a run that do not grow with the steps of an epoch, except the test: their share should be small.
FIXED_PARTS = (
    "start-up",
    "between training and validation",
    "validation",
    "recording of attention",
    "films of attention",
    "tables and tracker",
    "checkpoints",
    "end of the tracker",
)


Row = dict[str, float | str]  # a number or a text under the name of each column


class TimeProfile(Callback):
    """Callback that times the parts of the first two epochs and the operators of the third one's training steps.

    It goes first among the callbacks, so that the work of the others counts to the part in which they do it.

    Attributes:
        seconds: of each part in the second epoch.
        steps: of an epoch.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.steps = 0
        self._first_seconds: dict[str, float] = {}
        self._once: dict[str, float] = {}
        self._last = 0.0
        self._epoch: int | None = None
        self._profiler: profile | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and in the third epoch torch's profiler."""
        if self._epoch is None:
            self._once["start-up"] = seconds_since_start()
        self._epoch = trainer.current_epoch
        if self._epoch == _OPERATORS_EPOCH:
            gpus = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self._profiler = profile(activities=[ProfilerActivity.CPU, *gpus], acc_events=True)
            self._profiler.start()
        self._last = _now()

    def on_train_batch_start(self, trainer: Trainer, *args: object, **kwargs: object) -> None:
        """End the wait for a batch."""
        self.end_part("waiting for data")

    def on_before_backward(self, trainer: Trainer, *args: object, **kwargs: object) -> None:
        """End the computation of the loss."""
        self.end_part("augmentation, forward pass and loss")

    def on_after_backward(self, trainer: Trainer, *args: object, **kwargs: object) -> None:
        """End the computation of the gradients."""
        self.end_part("backward pass")

    def on_train_batch_end(self, trainer: Trainer, *args: object, **kwargs: object) -> None:
        """End the step."""
        self.end_part("optimizer")
        self.steps += self._epoch == _PARTS_EPOCH

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the training steps of the epoch."""
        if self._epoch == _OPERATORS_EPOCH and self._profiler is not None:
            self._profiler.stop()
        self.end_part("between training and validation")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the validation; other callbacks now record the epoch."""
        self.end_part("validation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the recording; other callbacks now write tables and checkpoints, see ``PartEnd``."""
        self.end_part("recording of attention")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock for the work of other callbacks at the end."""
        self._last = _now()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Count the time since the end of the training as that of the films, which other callbacks write."""
        self._once["films of attention"] = _now() - self._last

    def operators(self) -> list[Row]:
        """Return the operators of the training steps, the slowest first; times exclude what they call."""
        assert self._profiler is not None, "the third epoch has not been trained"
        events = self._profiler.key_averages()
        device = "self_device_time_total"
        own = {event.key: max(event.self_cpu_time_total, getattr(event, device, 0.0)) for event in events}
        total = sum(own.values())
        rows = [
            {
                "operator": event.key,
                "calls": event.count,
                "cpu_ms": round(event.self_cpu_time_total / 1e3, 3),
                "device_ms": round(getattr(event, device, 0.0) / 1e3, 3),
                "share": round(own[event.key] / total, 4),
            }
            for event in events
        ]
        return sorted(rows, key=lambda row: row["share"], reverse=True)

    def parts(self) -> list[Row]:
        """Return seconds and share of each part of an epoch, the longest first."""
        return _shares(self.seconds)

    def run_parts(self, epochs: int, steps: int, once: Mapping[str, float]) -> list[Row]:
        """Return seconds and share of each part of a run of ``epochs`` of ``steps`` each, the longest first.

        The first epoch counts as measured, with its one-off work; all others count as the second one, scaled to
        ``steps``. ``once`` holds the seconds of further parts of the run.
        """
        parts = {**self._once, **once}
        for part, seconds in self.seconds.items():
            repeats = epochs * steps / self.steps if part in _STEP_PARTS else epochs
            parts[part] = max(0.0, self._first_seconds.get(part, seconds) - seconds) + repeats * seconds
        return _shares(parts)

    def end_part(self, part: str) -> None:
        """Add the time since the end of the previous part to ``part`` of this epoch."""
        now = _now()
        if self._epoch in (0, _PARTS_EPOCH):
            seconds = self.seconds if self._epoch else self._first_seconds
            seconds[part] = seconds.get(part, 0.0) + now - self._last
        self._last = now


class PartEnd(Callback):
    """Callback that ends ``part`` of an epoch once the callbacks before it have done their work at its end."""

    def __init__(self, times: TimeProfile, part: str) -> None:
        self._times, self._part = times, part

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the part."""
        self._times.end_part(self._part)


def _shares(parts: Mapping[str, float]) -> list[Row]:
    total = sum(parts.values())
    rows = [
        {"part": part, "seconds": round(seconds, 4), "share": round(seconds / total, 4)}
        for part, seconds in parts.items()
    ]
    return sorted(rows, key=lambda row: row["share"], reverse=True)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
