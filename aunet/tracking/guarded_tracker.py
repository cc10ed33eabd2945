"""The guard of a tracker: one that fails, hangs or fills up causes one warning, and the run continues."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import pandas as pd

from aunet.tracking.media_budget import MediaBudget
from aunet.tracking.tracker import Tracker

_log = logging.getLogger(__name__)
_ENDING_SECONDS = 5.0


class GuardedTracker:
    """A tracker in a process of its own, which is disabled after its first failure or timeout.

    A call returns when the tracker has completed it: values sent before a checkpoint are not lost with later ones. A
    tracker that does not answer is killed; one whose run dies ends by itself. Nothing of it is imported or registered
    in this process, and it starts no thread here.

    Args:
        name: the user's name for the tracker.
        build: starts and returns the tracker; it can be pickled with all it holds.
        media: limit of all its pictures together.
        seconds: time limit of a call; four times as long for the start, a file and the end.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[], Tracker],
        media: MediaBudget,
        seconds: float = 30,
    ) -> None:
        self._name = name
        self._build = build
        self._seconds = seconds
        self._media = media
        self._is_starting = False
        self._connection: Connection[Any, Any] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def description(self) -> str:
        """Return the user's name for the tracker."""
        return self._name

    def start(self) -> None:
        """Start the tracker in the background; earlier calls are ignored."""
        try:
            self._launch()
        except OSError as error:
            self._give_up(error)

    def _launch(self) -> None:
        self._connection, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "aunet.tracking.tracker_process", str(theirs.fileno())],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._connection.send(self._build)
        self._is_starting = True

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """Show the values of an epoch."""
        self._tell("metrics", dict(values), epoch)

    def picture(self, key: str, path: Path, epoch: int | None = None) -> None:
        """Show a picture, unless the limit is reached."""
        if self._connection and self._media.take(path.stat().st_size):
            self._tell("picture", key, path, epoch)

    def table(self, key: str, table: pd.DataFrame) -> None:
        """Show a table."""
        self._tell("table", key, table)

    def keep_file(self, name: str, path: Path) -> None:
        """Keep a copy of a file."""
        self._tell("keep_file", name, path, seconds=4 * self._seconds)

    def finish(self) -> None:
        """End the tracker and its process."""
        self._tell("finish", seconds=4 * self._seconds)
        self._leave()

    def _tell(self, what: str, *words: object, seconds: float | None = None) -> None:
        """Call a method of the tracker; if it fails or times out, warn and make no more calls."""
        if self._connection is None:
            return
        try:
            if self._is_starting:
                _log.info("%s: %s", self._name, _answer(self._connection, 4 * self._seconds))
                self._is_starting = False
            self._connection.send((what, words))
            _answer(self._connection, seconds or self._seconds)
        except (OSError, EOFError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        reason = str(error) or "its process has died"
        _log.warning("%s failed (%s); the run continues without it, all is in its folder.", self._name, reason)
        self._leave()

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is None:
            return
        try:
            self._process.wait(0 if self._is_starting else _ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _answer(connection: "Connection[Any, Any]", seconds: float) -> str:
    """Return the tracker's answer; raise OSError if it failed or is silent."""
    if not connection.poll(seconds):
        raise TimeoutError(f"no answer within {seconds:g} s")
    is_done, text = connection.recv()
    if not is_done:
        raise OSError(text)
    return text
