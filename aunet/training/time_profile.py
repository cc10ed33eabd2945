"""Where the time of a training goes: by its parts, and by torch's operators."""

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.profiler import ProfilerActivity, profile

# Epochs: the first warms up.
_PARTS_EPOCH = 1
_OPERATORS_EPOCH = 2


class TimeProfile(Callback):
    """Times the parts of the second epoch and the operators of the third one's training steps.

    It goes first among the callbacks, so that what others do counts to the part they do it in.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.steps = 0
        self._last = 0.0
        self._epoch = 0
        self._profiler: Any = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, or torch's profiler."""
        self._epoch = trainer.current_epoch
        if self._epoch == _OPERATORS_EPOCH:
            gpus = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self._profiler = profile(activities=[ProfilerActivity.CPU, *gpus], acc_events=True)
            self._profiler.start()
        self._last = _now()

    def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """A batch has come."""
        self._end_of("waiting for data")

    def on_before_backward(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """The loss is known."""
        self._end_of("augmentation, forward pass and loss")

    def on_after_backward(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """The gradients are known."""
        self._end_of("backward pass")

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """The step is done."""
        self._end_of("optimizer")
        self.steps += self._epoch == _PARTS_EPOCH

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The training steps of the epoch are done."""
        if self._epoch == _OPERATORS_EPOCH and self._profiler is not None:
            self._profiler.stop()
        self._end_of("between training and validation")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All cases are validated; others record the epoch now."""
        self._end_of("validation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The attention is recorded."""
        self._end_of("recording of attention")

    def operators(self) -> list[dict[str, Any]]:
        """Operators of the training steps, the slowest first; times are their own, without what they call."""
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

    def parts(self) -> list[dict[str, Any]]:
        """Seconds and share of each part of an epoch, the longest first."""
        total = sum(self.seconds.values())
        rows = [
            {"part": part, "seconds": round(seconds, 4), "share": round(seconds / total, 4)}
            for part, seconds in self.seconds.items()
        ]
        return sorted(rows, key=lambda row: row["share"], reverse=True)

    def _end_of(self, part: str) -> None:
        now = _now()
        if self._epoch == _PARTS_EPOCH:
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
