"""Progress bar for training, test and prediction; it does not import Lightning, which a prediction does not load."""

import time

from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from aunet.training.time_words import clock_words, duration_words


class TimeLeftColumn(TimeRemainingColumn):
    """Column with the time left until a task's field ``end`` (``time.monotonic``) and that time of day, else rich's.

    Rich knows only the latest advances, so its own estimate leaves out validations and jumps after each.
    """

    def render(self, task: Task) -> Text:
        """Return the text for ``task``, which counts down between two updates."""
        end: float | None = task.fields.get("end")
        if end is None:
            return super().render(task)
        left = max(0.0, end - time.monotonic())
        return Text(f"{duration_words(left)}, until {clock_words(left)}", style="progress.remaining")


def run_progress() -> Progress:
    """Return a bar with the elapsed time and an estimate of the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeftColumn(elapsed_when_finished=True),
        transient=True,
    )
