"""The terminal: its console for tables, and progress bars for slow work."""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn, track
from rich.text import Text

from aunet.messages import clock_words, duration_words

_Item = TypeVar("_Item")
# Wide enough for the comparison of three runs, and for the logs that a file or pipe ends in.
_FILE_WIDTH = 140


class LogHandler(RichHandler):
    """Handler that writes messages to stderr: wrapped and coloured in a terminal, a line each in a file or pipe.

    A path or command in a log can so be searched for and copied whole.
    """

    def __init__(self) -> None:
        super().__init__(console=Console(stderr=True), show_time=False, show_path=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record``; a terminal or pipe that is closed meanwhile, or a full disk, stops no training."""
        with suppress(OSError):
            if self.console.is_terminal:
                super().emit(record)
            else:
                self.console.file.write(f"{record.levelname:<8} {self.format(record)}\n")
                self.console.file.flush()


def table_console() -> Console:
    """Return the console for tables: the terminal at its width, a file or pipe at 140 columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)


def shown(items: Iterable[_Item], description: str, total: int | None = None) -> Iterable[_Item]:
    """Return the ``items`` as they come, counted by a bar with an estimate of the time left.

    The bar appears in a terminal only, never in a file or pipe, and vanishes when all ``total`` items are there.
    ``total`` is needed for items without a length.
    """
    console = Console(stderr=True)
    is_hidden = not console.is_terminal
    return track(items, description, total=total, console=console, transient=True, disable=is_hidden)


def run_progress() -> Progress:
    """Return a bar with the elapsed time and an estimate of the time left; a file or pipe shows nothing of it."""
    console = Console()
    # Outside a terminal, rich ends a hidden bar with an empty line.
    console.quiet = not console.is_interactive
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeftColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
    )


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
