"""The process that draws the figures of a comparison while the comparison loads its networks.

It is started as ``python -m aunet.pipeline.drawing``, not by multiprocessing, which would run the user's script a
second time, and not by a fork, which may hang on locks of vanished threads.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from aunet.evaluation.arms import Arm
from aunet.machine import count_cores

# PNG files with their captions.
Figures = Mapping[Path, str]


class Drawing(AbstractContextManager["Drawing"]):
    """The figures of one comparison, drawn by a process that loads matplotlib at once.

    On a single core, or if the process fails, the figures are drawn in this one.

    Args:
        is_wanted: False draws nothing and starts no process.
        cores: number of cores to use; None counts them.
    """

    def __init__(self, is_wanted: bool = True, cores: int | None = None) -> None:
        self._is_wanted = is_wanted
        self._figures: Figures | None = None
        self._draw: Callable[[], Figures] = dict[Path, str]
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        if is_wanted and (cores or count_cores()) > 1:
            self._connection, theirs = Pipe()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "aunet.pipeline.drawing", str(theirs.fileno())],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
            theirs.close()

    def begin(
        self, arms: Sequence[Arm], table: pd.DataFrame, rows: pd.DataFrame, folder: Path, margin: float | None
    ) -> None:
        """Begin to draw; the arguments are those of ``write_figures``."""
        if not self._is_wanted:
            return
        self._draw = partial(_draw, arms, table, rows, folder, margin)
        if self._connection is not None:
            with suppress(OSError):  # it has died
                self._connection.send(self._draw)

    def finish(self) -> Figures:
        """Wait for the process, which then has ended, and return the figures; empty if none were begun."""
        if self._figures is None:
            self._figures = self._read()
        return self._figures

    def _read(self) -> Figures:
        """Return the figures of the process; if it failed, draw them here, so that its error is raised here."""
        if self._connection is None or self._process is None:
            return self._draw()
        try:
            figures: Figures = self._connection.recv()
        except (EOFError, OSError):
            return self._draw()
        self._process.wait()
        return figures

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, after the figures if they were begun."""
        if self._connection is not None and self._process is not None:
            self._connection.close()
            self._process.wait()


def _draw(arms: Sequence[Arm], table: pd.DataFrame, rows: pd.DataFrame, folder: Path, margin: float | None) -> Figures:
    from aunet.pipeline.comparison_pictures import write_figures  # loads matplotlib

    return write_figures(arms, table, rows, folder, margin)


def _serve(connection: "Connection[Any, Any]") -> None:
    """Load matplotlib, then draw what the comparison sends; end without a word if it sends nothing.

    Ctrl-C reaches the comparison as well, which alone answers it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_module("aunet.pipeline.comparison_pictures")  # loads matplotlib
    with suppress(EOFError, OSError):
        draw = connection.recv()
        connection.send(draw())


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
