"""The bar of what takes minutes: training, test, prediction. Free of Lightning, which a prediction does not load."""

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def run_progress() -> Progress:
    """Return a bar with the time passed and an estimate of the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
        transient=True,
    )
