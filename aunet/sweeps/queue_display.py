"""Display of running jobs: a line for each that starts or ends, and in a terminal a table of those under way."""

import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from aunet.messages import duration_digits
from aunet.reporting.run_tables import dice_text, epochs_of
from aunet.sweeps.job import Job
from aunet.sweeps.job_process import last_message, log_of

_REFRESH_SECONDS = 1.0


class QueueDisplay:
    """Lines, and below them a table of the running jobs, on stderr."""

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._total = total
        self._shown_at = float("-inf")

    def __enter__(self) -> "QueueDisplay":
        """Show the table."""
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the table."""
        self._live.__exit__(kind, error, trace)

    def tell(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def tell_start(self, job: Job) -> None:
        """Print that a job starts, and the path of its log."""
        state = job.state
        again = f"continues with epoch {len(state.validation_dice)}" if state.validation_dice else "starts again"
        verb = "starts" if state.status == "waiting" else again
        self.tell(f"{job.name} {verb}; log: {log_of(job)}")

    def tell_end(self, job: Job) -> None:
        """Print how a job ended, and why if it did not finish."""
        state = job.state
        reason = "" if state.status == "finished" else f": {last_message(job)}"
        best = f", best validation Dice {dice_text(state.best_dice)}" if state.best_dice is not None else ""
        self.tell(f"{job.name} {state.status}{best}{reason}")

    def show(self, running: Iterable[tuple[Job, float]], waiting: int) -> None:
        """Show the running jobs, each with the seconds since its start."""
        if not self._console.is_terminal or time.monotonic() - self._shown_at < _REFRESH_SECONDS:
            return
        self._shown_at = time.monotonic()
        rows = [(job, job.state, seconds) for job, seconds in running]
        done = self._total - waiting - len(rows)
        table = Table(
            "Running", "Epoch", "Best val. Dice", "Time", title=f"{done} of {self._total} jobs done, {waiting} wait"
        )
        for job, state, seconds in rows:
            table.add_row(job.name, epochs_of(state), dice_text(state.best_dice), duration_digits(seconds))
        self._live.update(table, refresh=True)
