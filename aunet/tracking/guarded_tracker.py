"""A tracker that fails, hangs or fills up costs one line; the run goes on."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import pandas as pd

from aunet.tracking.tracker import Tracker

_log = logging.getLogger(__name__)
_ENDING_SECONDS = 5.0


class GuardedTracker:
    """Asks a tracker in a process of its own, and after a first failure or a silence no more.

    A call comes back when the tracker is done with it: what was told before a checkpoint is not lost with what comes
    after. A tracker that does not answer is killed; one whose run dies ends by itself. Nothing of it is imported,
    threaded or registered here.

    Args:
        name: what the user calls the tracker.
        build: starts and gives it; with all it holds it can be pickled.
        media_bytes: what its pictures may take together.
        media_bytes_before: what those of the parts before an interruption took.
        seconds: how long a call may take; four times as long for the start, a file and the end.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[], Tracker],
        media_bytes: float,
        media_bytes_before: int = 0,
        seconds: float = 30,
    ) -> None:
        self._name = name
        self._build = build
        self._seconds = seconds
        self._media_bytes_left = media_bytes - media_bytes_before
        self._is_full = False
        self._is_starting = False
        self._connection: Connection[Any, Any] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def description(self) -> str:
        """What the user calls the tracker."""
        return self._name

    def start(self) -> None:
        """Let it start, beside what follows; before, nothing is told."""
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
        """Show a picture, while there is room."""
        if self._connection and self._has_room_for(path):
            self._tell("picture", key, path, epoch)

    def table(self, key: str, table: pd.DataFrame) -> None:
        """Show a table."""
        self._tell("table", key, table)

    def keep_file(self, name: str, path: Path) -> None:
        """Keep a file."""
        self._tell("keep_file", name, path, seconds=4 * self._seconds)

    def finish(self) -> None:
        """End."""
        self._tell("finish", seconds=4 * self._seconds)
        self._leave()

    def _has_room_for(self, path: Path) -> bool:
        if self._is_full:
            return False
        self._media_bytes_left -= path.stat().st_size
        if self._media_bytes_left < 0:
            self._is_full = True
            _log.warning(
                "%s holds as many pictures as logger.media_mib allows; further ones are in the run's folder alone.",
                self._name,
            )
        return not self._is_full

    def _tell(self, what: str, *words: object, seconds: float | None = None) -> None:
        """Call a method of the tracker; where it fails or is not back in time, one line and no more calls."""
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
        _log.warning("%s failed (%s); the run goes on without it, all is in its folder.", self._name, reason)
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
    """What the tracker gives back; OSError where it failed or is silent."""
    if not connection.poll(seconds):
        raise TimeoutError(f"no answer within {seconds:g} s")
    is_done, text = connection.recv()
    if not is_done:
        raise OSError(text)
    return text
