"""The expected end of a training, logged before its first step after a short measurement."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.machine import OtherWork
from aunet.networks.inspection.cost import forward_gflop
from aunet.runs.ranks import num_ranks, rank
from aunet.training.callbacks.run_clock import RunClock
from aunet.training.hardware import HardwareChoice
from aunet.training.pace import Pace, count_windows, measure_pace
from aunet.training.pace_words import computer_words, crowded_words, end_words, speed_words
from aunet.training.segmentation_task import SegmentationTask
from aunet.training.trial_steps import BatchShape, matrix_rate

_log = logging.getLogger(__name__)


class TrialStepError(Exception):
    """The pace of a training cannot be measured ahead; the message says why."""


@dataclass(frozen=True)
class Forecast:
    """A training whose pace is measured.

    Attributes:
        choice: device, precision and memory layout of the run.
        shape: of the batches of this process.
        accumulate: batches per optimizer step.
        validation_shapes: shape (voxels) of each validation case.
        max_time, patience: as set for the trainer, or None.
    """

    choice: HardwareChoice
    shape: BatchShape
    accumulate: int
    validation_shapes: Sequence[Sequence[int]]
    max_time: str | None
    patience: int | None

    def measure(self, task: SegmentationTask) -> Pace:
        """Return the pace of ``task``; log a warning if other work shares the processor.

        Raises:
            TrialStepError: a trial step failed, be it for lack of memory or because a network of one's own does not
                take the smaller patch on which a slow step is measured. The training itself may yet succeed.
        """
        others = OtherWork()
        try:
            pace = measure_pace(task, self.shape, self.accumulate)
            words = crowded_words(torch.get_num_threads(), os.cpu_count() or 1, others.busy_cores())
            if words and self.choice.device == "cpu":
                _log.warning("%s", words)
            return pace
        except Exception as error:  # noqa: BLE001 - whatever a foreign network raises
            reason = str(error).partition("\n")[0]
            kind = type(error).__name__
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise TrialStepError(f"a trial step failed ({kind}{': ' if reason else ''}{reason})")

    def share(self, pace: Pace, device: torch.device) -> float:
        """Return the share of the machine's matrix rate that a step reaches."""
        rate = matrix_rate(device, self.choice.autocast_type or torch.float32)
        return pace.flop / pace.step_seconds / rate

    def validation_seconds(self, pace: Pace, task: SegmentationTask) -> float:
        """Return the expected seconds of all windows of a validation."""
        return pace.window_seconds * count_windows(self.validation_shapes, task.inferer)

    def line(self, pace: Pace, share: float, clock: RunClock, steps: int, epochs: int) -> str:
        """Return the line for the user, for a training that has already made ``steps`` and ``epochs``."""
        left = clock.remainder(steps, epochs)
        assert left is not None, "the clock expects the measured pace"
        end = end_words(left, self.max_time, self.patience)
        return f"{computer_words(self.choice)}: {speed_words(1 / pace.step_seconds, share)}{self._scale(pace)}; {end}."

    def _scale(self, pace: Pace) -> str:
        if pace.measured == self.shape:
            return ""
        size = "x".join(map(str, pace.measured.patch_size))
        number = pace.measured.patches
        return f" (measured on {number} {'patch' if number == 1 else 'patches'} of {size})"


class ForecastLine(Callback):
    """Callback that measures the pace before the first step, logs and records it and passes it to the clock.

    It goes last among the callbacks: the clock has then been started, and a Ctrl-C during the measurement acts like
    one during the first step. Several processes are not measured, as they would have to meet at every step.

    Args:
        forecast: the training to measure.
        clock: of the run.
        keep: receives facts for the run's record: ``gflop`` of one patch, and ``speed`` if measured.
    """

    def __init__(self, forecast: Forecast, clock: RunClock, keep: Callable[[dict[str, object]], None]) -> None:
        self._forecast = forecast
        self._clock = clock
        self._keep = keep

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure and log, unless no step is left."""
        if trainer.should_stop:
            return
        if num_ranks() > 1:
            if rank() == 0:
                _log.info("%s", not_measured(self._forecast.choice, f"{num_ranks()} processes train"))
            return
        assert isinstance(pl_module, SegmentationTask)
        try:
            pace = self._forecast.measure(pl_module)
        except TrialStepError as error:
            _log.warning("%s", not_measured(self._forecast.choice, str(error)))
            self._keep({"gflop": self._count_gflop(pl_module)})
            return
        share = self._forecast.share(pace, pl_module.device)
        self._clock.expect(pace.step_seconds, self._forecast.validation_seconds(pace, pl_module))
        _log.info("%s", self._forecast.line(pace, share, self._clock, trainer.global_step, trainer.current_epoch))
        speed = {"steps_per_second": round(1 / pace.step_seconds, 4), "matrix_rate_share": round(share, 4)}
        self._keep({"gflop": pace.gflop or self._count_gflop(pl_module), "speed": speed})

    def _count_gflop(self, task: SegmentationTask) -> float | None:
        return forward_gflop(task.network, self._forecast.shape.channels, self._forecast.shape.patch_size)


def not_measured(choice: HardwareChoice, reason: str) -> str:
    """Return the line for a training whose pace was not measured ahead."""
    return f"{computer_words(choice)}: speed not measured ahead, as {reason}; each epoch's line has the expected end."
