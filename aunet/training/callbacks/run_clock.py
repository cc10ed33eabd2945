"""The progress of a training: by its optimizer steps or, if its time is limited, by the steps that the time leaves."""

import logging
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.runs.ranks import of_first_rank
from aunet.training.callbacks.accumulation import makes_step
from aunet.training.time_plan import Remainder, StepTimes, step_mean, validation_mean
from aunet.training.validation_pace import is_validated

_log = logging.getLogger(__name__)


class RunClock(Callback):
    """Callback that measures the share of the training done, and ends the training when its time is up.

    With a time limit the share counts optimizer steps. After each step, the remaining share is divided equally among
    this step and those that still fit into the limit, by the measured times of steps and validations. So the share
    never falls, reaches 1 with the last step however long the validations take, and a training ends with the last
    validation inside the limit. Before the first validation of a run its length is unknown and taken as 0.

    The seconds of a resumed run continue from those before the interruption.

    Args:
        max_epochs: of the whole training.
        steps_per_epoch: optimizer steps per epoch.
        max_seconds: limit of the training time, validations included; None for no limit.
        validate_every: epochs from one validation to the next.
    """

    def __init__(
        self, max_epochs: int, steps_per_epoch: int, max_seconds: float | None, validate_every: int = 1
    ) -> None:
        self._max_epochs, self._steps_per_epoch, self._max_seconds = max_epochs, steps_per_epoch, max_seconds
        self._validate_every = validate_every
        self._seconds_before = 0.0
        self._start: float | None = None
        self._mark: float | None = None  # end of the latest step or validation of this process
        self._step_time, self._validation_time = step_mean(), validation_mean()
        # For display: of this process alone, as an earlier part may have run on another machine.
        self._expected = self._times(0.0, 0.0)
        self._step_time_here, self._validation_time_here = step_mean(), validation_mean()
        self._first_validation = 0.0
        self._share = 0.0
        self._lost_steps = 0  # of epochs that the clock cut short
        self._is_epoch_validated = False  # the epoch before the present one, of this process
        self._is_over = False
        self._plan_before: list[float | None] | None = None

    @property
    def seconds(self) -> float:
        """Return the training time (s) so far, over all parts of an interrupted run."""
        return self._seconds_at(time.monotonic())

    @property
    def is_over(self) -> bool:
        """Return whether no further step fits into the time limit."""
        return self._is_over

    def progress(self, steps: int) -> float:
        """Return the share 0..1 of the training that is done after ``steps``."""
        if self._max_seconds is None or self._start is None:  # a probe takes steps without the clock's callbacks
            return self.share_of_epochs(steps)
        return self._share

    def share_of_epochs(self, steps: int) -> float:
        """Return the share 0..1 of all epochs that ``steps`` make up, however few of them a time limit leaves."""
        return min(1.0, steps / self._total_steps)

    def expect(self, step_seconds: float, validation_seconds: float) -> None:
        """Use these durations of steps and validations until this process has measured its own."""
        self._expected = self._times(step_seconds, validation_seconds)

    @property
    def steps_per_second(self) -> float | None:
        """Return the rate of the latest steps; None before a step's time is known."""
        seconds = self._times_here.step_seconds
        return 1 / seconds if seconds > 0 else None

    def remainder(self, steps: int, epochs: int) -> Remainder | None:
        """Return what is left after ``steps`` and ended ``epochs``; None before a step's time is known."""
        times = self._times_here
        if times.step_seconds <= 0:
            return None
        left = min(max(0, self._total_steps - steps), max(0, self._max_epochs - epochs) * self._steps_per_epoch)
        limit = None if self._max_seconds is None else max(0.0, self._max_seconds - self.seconds)
        before_validation = min(left, self._before_validation(steps, epochs))
        return times.remainder(left, self._validations_left(epochs), before_validation, limit)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; end at once if the time was used up before, and plan anew if the limits have changed."""
        self._start = self._now()
        if self._max_seconds is None:
            self._is_over = False  # an earlier part may have had a limit
            return
        if self._plan_before not in (None, self._plan):
            self._plan_anew(trainer.global_step, trainer.current_epoch, self._max_seconds)
        if self._is_over:
            _log.info("The time limit of %g s is used up (%.0f s): no further step.", self._max_seconds, self.seconds)
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the time since the last step of a validated epoch: validation, recording, checkpoints."""
        if self._mark is not None:
            now = self._now()
            if self._is_epoch_validated:
                self._validation_time.add(now - self._mark)
                self._validation_time_here.add(now - self._mark)
            self._mark = now

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Advance the share after an optimizer step, and stop if no other step fits; the trainer then validates."""
        if not makes_step(trainer, batch_idx):
            return
        now = self._now()
        if self._mark is not None:  # the first step of a process, which warms up, is not typical
            self._step_time.add(now - self._mark)
            self._step_time_here.add(now - self._mark)
        self._mark = now
        if self._max_seconds is None:
            return
        left = self._steps_left(trainer.global_step, trainer.current_epoch, now)
        self._share += (1.0 - self._share) / (left + 1)
        self._end_if(left == 0, trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if no step of another epoch fits: the validation may have taken longer than expected."""
        self._lost_steps = self._planned_steps(trainer.current_epoch + 1) - trainer.global_step
        self._is_epoch_validated = is_validated(trainer)
        if not self._is_epoch_validated:  # a stop here would leave the training's last steps without a validation
            return
        self._first_validation = 0.0 if self._mark is None else time.monotonic() - self._mark
        if self._max_seconds is not None:
            left = self._steps_left(trainer.global_step, trainer.current_epoch + 1, self._now())
            self._end_if(left == 0, trainer)

    def state_dict(self) -> dict[str, object]:
        """Return the time so far, the measured durations, and the limits for which the share was planned."""
        return {
            "seconds": self.seconds,
            "share": self._share,
            "step_time": self._step_time.state_dict(),
            "validation_time": self._validation_time.state_dict(),
            "lost_steps": self._lost_steps,
            "is_over": self._is_over,
            "plan": self._plan,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the part before; runs of earlier versions kept the seconds only."""
        self._seconds_before = float(state_dict["seconds"])
        self._plan_before = state_dict.get("plan", [])
        if not self._plan_before:
            return
        self._share, self._is_over = state_dict["share"], state_dict["is_over"]
        self._lost_steps = state_dict["lost_steps"]
        self._step_time.load_state_dict(state_dict["step_time"])
        self._validation_time.load_state_dict(state_dict["validation_time"])

    def _plan_anew(self, steps: int, epoch: int, max_seconds: float) -> None:
        """Set the share done according to limits that have changed since the part before."""
        left = self._steps_left(steps, epoch, self._now())
        by_time = 0.0 if self._step_time.value else self.seconds / max_seconds
        self._share = min(1.0, max(steps / max(1, steps + left), by_time))
        self._is_over = left == 0

    @property
    def _times_here(self) -> StepTimes:
        """Return the durations of steps and validations here: measured, else expected, else of the part before.

        The duration so far of a process's first validation is a lower bound.
        """
        step = self._step_time_here.value or self._expected.step_seconds or self._step_time.value
        guess = self._expected.validation_seconds or self._validation_time.value
        validation = self._validation_time_here.value or max(guess, self._first_validation)
        return self._times(step, validation)

    def _times(self, step_seconds: float, validation_seconds: float) -> StepTimes:
        return StepTimes(self._validate_every * self._steps_per_epoch, step_seconds, validation_seconds)

    @property
    def _plan(self) -> list[float | None]:
        return [self._max_epochs, self._steps_per_epoch, self._max_seconds]

    @property
    def _total_steps(self) -> int:
        return max(1, self._planned_steps(self._max_epochs) - self._lost_steps)

    def _planned_steps(self, epochs: int) -> int:
        return epochs * self._steps_per_epoch

    def _steps_left(self, steps: int, epoch: int, now: float) -> int:
        """Return how many steps are left after ``steps``, with ``epoch`` under way, by epochs and time."""
        by_epochs = max(0, self._total_steps - steps)
        if self._max_seconds is None:
            return by_epochs
        times = self._times(self._step_time.value, self._validation_time.value)
        before_validation = self._before_validation(steps, epoch)
        by_time = times.steps_within(self._max_seconds - self._seconds_at(now), before_validation)
        return by_epochs if by_time is None else min(by_epochs, by_time)

    def _before_validation(self, steps: int, epoch: int) -> int:
        """Return how many steps follow the first ``steps`` up to the next validation, with ``epoch`` under way."""
        in_epoch = self._planned_steps(epoch + 1) - self._lost_steps - steps
        epochs = -(epoch + 1) % self._validate_every
        return min(max(0, in_epoch), self._steps_per_epoch) + self._planned_steps(epochs)

    def _validations_left(self, epochs: int) -> int:
        """Return how many validations follow ``epochs``: one in ``validate_every``, and one of the last."""
        if epochs >= self._max_epochs:
            return 0
        return -(-self._max_epochs // self._validate_every) - epochs // self._validate_every

    def _end_if(self, is_over: bool, trainer: Trainer) -> None:
        self._is_over = self._is_over or is_over
        trainer.should_stop = trainer.should_stop or is_over

    def _seconds_at(self, now: float) -> float:
        return self._seconds_before + (0.0 if self._start is None else now - self._start)

    def _now(self) -> float:
        """Return the time of rank 0, so that all ranks plan alike; without a limit each may use its own."""
        return time.monotonic() if self._max_seconds is None else of_first_rank(time.monotonic())
