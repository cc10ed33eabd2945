"""The terminal: its streams, its console for tables, and progress bars for slow work."""

import io
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TextIO, TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)
from rich.text import Text

from aunet.errors import UserError, is_disk_full
from aunet.messages import clock_words, duration_words

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")
# Wide enough for the comparison of three runs, and for the logs that a file or pipe ends in.
_FILE_WIDTH = 140
_SECONDS_PER_LINE = 60.0  # of the progress in a file or pipe


class PatientStream(io.TextIOWrapper):
    """Standard output or error that stops no work: the first text that it cannot write and all later ones are dropped.

    A pipe's reader may have ended (``| head``), a terminal may be closed, the disk of a file may be full. Characters
    that the encoding lacks (ASCII, Latin-1) are replaced.

    Attributes:
        is_cut: whether text is lost that its user waits for: on a full disk.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            stream.encoding,
            "replace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self.is_cut = False
        self._wrapped = stream  # without a reference to it, it would close the buffer
        with self._without_failing():
            stream.flush()

    def write(self, text: str) -> int:
        """Write ``text`` if possible."""
        with self._without_failing():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if possible."""
        with self._without_failing():
            super().flush()

    def close(self) -> None:
        """Leave the stream open: Python closes it at the end of the process."""

    @contextmanager
    def _without_failing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            self.is_cut = self.is_cut or is_disk_full(error)
            with open(os.devnull, "wb") as nothing:  # noqa: PTH123
                os.dup2(nothing.fileno(), self.fileno())  # also for what the stream still holds


def patient_stream(stream: TextIO | None) -> TextIO:
    """Return a standard stream that stops no work, for one that Python leaves out if it is closed (``>&-``) too."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - open until the end
    if isinstance(stream, io.TextIOWrapper):
        return stream if isinstance(stream, PatientStream) else PatientStream(stream)
    return stream


def check_output_complete() -> None:
    """Raise UserError if a full disk has cut the standard output."""
    sys.stdout.flush()
    if isinstance(sys.stdout, PatientStream) and sys.stdout.is_cut:
        raise UserError(
            "standard output: the disk of its file is full, and a part of it is lost. All else is done. Free some space"
            " and start again if you need it."
        )


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

    The bar appears in a terminal only and vanishes when all ``total`` items are there; a file or pipe shows a line a
    minute instead. ``total`` is needed for items without a length.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        return track(items, description, total=total, console=console, transient=True)
    return _logged(items, description, len(items) if total is None and isinstance(items, Sized) else total or 0)


def _logged(items: Iterable[_Item], description: str, total: int) -> Iterator[_Item]:
    num_done, start = 0, time.monotonic()

    def lines() -> list[str]:
        count = f"{num_done} of {total}" if total else f"{num_done}"
        return [f"{description}: {count} done, {_time_words(time.monotonic() - start, num_done, total)}"]

    with _line_a_minute(lines):
        for item in items:
            yield item
            num_done += 1


def _time_words(seconds: float, done: float, total: float) -> str:
    """Return the time left of work of which ``done`` of ``total`` took ``seconds``; if unknown, the time so far."""
    if not 0 < done <= total:
        return f"{duration_words(seconds)} so far"
    return _left_words(seconds / done * (total - done))


def _left_words(seconds: float) -> str:
    return f"{duration_words(seconds)} left, until {clock_words(seconds)}"


@contextmanager
def _line_a_minute(lines: Callable[[], Iterable[str]]) -> Generator[None]:
    """Log ``lines`` every minute during the block, from a thread: a single long item would else leave no line."""
    is_over = threading.Event()

    def log() -> None:
        while not is_over.wait(_SECONDS_PER_LINE):
            for line in lines():
                _log.info("%s", line)

    thread = threading.Thread(target=log, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class LoggedProgress(Progress):
    """Progress bars in a terminal; in a file or pipe, a line a minute on each visible task that has not finished.

    A task's field ``end`` (``time.monotonic``) is its expected end, and ``logged`` the time of another line on it.
    """

    def __init__(self, *columns: ProgressColumn) -> None:
        console = Console()
        # Outside a terminal, rich ends a hidden bar with an empty line.
        console.quiet = not console.is_interactive
        super().__init__(*columns, console=console, transient=True)
        self._lines = ExitStack()

    def start(self) -> None:
        """Show the bars, or start the lines."""
        super().start()
        if self.console.quiet:
            self._lines.enter_context(_line_a_minute(self.texts))

    def stop(self) -> None:
        """Hide the bars, or end the lines."""
        self._lines.close()
        super().stop()

    def texts(self) -> list[str]:
        """Return the present lines."""
        now = time.monotonic()
        return [
            self._text(task, now)
            for task in self.tasks
            if task.visible and not task.finished and now - task.fields.get("logged", -math.inf) >= _SECONDS_PER_LINE
        ]

    def _text(self, task: Task, now: float) -> str:
        end: float | None = task.fields.get("end")
        rest = (
            _time_words(task.elapsed or 0.0, task.completed, task.total or 0.0)
            if end is None
            else _left_words(max(0.0, end - now))
        )
        return f"{task.description}: {task.percentage:.0f} %, {rest}"


def follow(
    progress: Progress, items: Sequence[_Item], description: str
) -> Iterator[tuple[_Item, Callable[[float], None]]]:
    """Yield each item with a function that takes the share of it that is done, shown as a task of ``progress``."""
    bar = progress.add_task(description, total=len(items))

    def report(share: float, before: int) -> None:
        progress.update(bar, completed=before + share)

    for number, item in enumerate(items):
        yield item, partial(report, before=number)
        report(1.0, number)


def run_progress() -> LoggedProgress:
    """Return bars with the elapsed time and an estimate of the time left; a file or pipe gets a line a minute."""
    return LoggedProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeLeftColumn(elapsed_when_finished=True),
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
