"""How far a run is, by steps and, where its time is limited, by the clock."""

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from aunet.training.ranks import num_ranks, of_first_rank


class RunClock(Callback):
    """Tells the share of the training that is done, and ends it when its time is up.

    The seconds of a resumed run count on from those before the interruption.

    Args:
        total_steps: optimizer steps of the whole training.
        max_seconds: limit of the training time; None for none.
    """

    def __init__(self, total_steps: int, max_seconds: float | None) -> None:
        self._total_steps = total_steps
        self._max_seconds = max_seconds
        self._seconds_before = 0.0
        self._start: float | None = None
        self._agreed_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """Training time so far, over all parts of an interrupted run."""
        return self._seconds_before + (time.monotonic() - self._start if self._start is not None else 0.0)

    def progress(self, steps: int) -> float:
        """Share 0..1 of the training that is done after ``steps``: by steps or by time, whichever is further."""
        by_steps = steps / self._total_steps
        by_time = self._counted_seconds / self._max_seconds if self._max_seconds else 0.0
        return min(1.0, max(by_steps, by_time))

    @property
    def _counted_seconds(self) -> float:
        return self.seconds if self._agreed_seconds is None else self._agreed_seconds

    @property
    def is_time_up(self) -> bool:
        """Whether the time limit is reached."""
        return self._max_seconds is not None and self._counted_seconds >= self._max_seconds

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        self._agree()

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Let the trainer stop after this step when the time is up; it validates once more."""
        self._agree()
        trainer.should_stop = trainer.should_stop or self.is_time_up

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let it stop here too: the time may have run out while validating."""
        self._agree()
        trainer.should_stop = trainer.should_stop or self.is_time_up

    def _agree(self) -> None:
        """All ranks follow the clock of rank 0, which stands still between two steps, where the time matters."""
        if self._max_seconds is not None and num_ranks() > 1:
            self._agreed_seconds = of_first_rank(self.seconds)

    def state_dict(self) -> dict[str, Any]:
        """Seconds so far."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from the seconds of the part before."""
        self._seconds_before = float(state_dict["seconds"])
