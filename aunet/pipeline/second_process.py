"""A second process of a command, for work that needs neither the libraries nor the results of the first meanwhile.

It is started as ``python -m aunet.pipeline.second_process PARENT FILE_DESCRIPTOR MODULE…``, not by multiprocessing,
which would run the user's script a second time.
"""

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from typing import Any, Generic, TypeVar

from aunet.machine import count_cores, end_with_parent, ended_like_ctrl_c
from aunet.process_settings import prepare_process
from aunet.terminal import LogHandler

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)
# The other cores are for the first process; threads without work spin as soon as numpy is imported.
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Work(Generic[_Result]):
    """Work that was begun: its result is there after ``wait``, or is computed when it is asked for.

    ``has_died`` is whether the other process has died before its end.

    Args:
        function: returns the result; it can be pickled with all it holds, and may be called again.
        connection: to a process that computes it; None to compute it here.
    """

    def __init__(self, function: Callable[[], _Result], connection: "Connection[Any, Any] | None" = None) -> None:
        self._function, self._connection = function, connection
        self._outcome: tuple[bool, Any] | None = None
        self.has_died = False
        if connection is not None:
            self._send(connection)

    def wait(self) -> None:
        """Wait until the other process has ended the work, whether it succeeded or failed."""
        if self._outcome is None and self._connection is not None:
            with self._unless_died():
                self._outcome = self._connection.recv()

    @property
    def is_ready(self) -> bool:
        """Return whether ``wait`` has received a result."""
        return self._outcome is not None and self._outcome[0]

    def result(self) -> _Result:
        """Return the result, or raise the error of the work."""
        self.wait()
        if self._outcome is None:
            return self._function()
        has_succeeded, value = self._outcome
        if not has_succeeded:
            raise value
        return value

    def _send(self, connection: "Connection[Any, Any]") -> None:
        with self._unless_died():
            connection.send(self._function)

    @contextmanager
    def _unless_died(self) -> Generator[None]:
        """Compute the result in this process if the other one has died."""
        try:
            yield
        except (OSError, EOFError):
            _log.warning("The second process of this command has died, mostly for lack of memory: this one continues.")
            self._connection, self.has_died = None, True


class Worker:
    """The second process, which does one piece of work after the other.

    Args:
        connection: to the process; None for none: the work is then done by this process, when its result is needed.
    """

    def __init__(self, connection: "Connection[Any, Any] | None" = None) -> None:
        self._connection = connection
        self._last: Work[Any] | None = None

    def begin(self, function: Callable[[], _Result]) -> Work[_Result]:
        """Begin ``function``, after the end of the work before it."""
        if self._last is not None:
            self._last.wait()
            if self._last.has_died:
                self._connection = None
        work = Work(function, self._connection)
        self._last = work
        return work


@contextmanager
def second_process(modules: Sequence[str]) -> Generator[Worker]:
    """Yield a worker that has a process, if there are two cores, which imports ``modules`` at once.

    The process is ended with the block, whatever it does.
    """
    if count_cores() == 1 or os.name != "posix":
        yield Worker()
        return
    try:
        process, connection = _start(modules)
    except OSError as error:
        _log.info("No second process can be started (%s): this one does all the work.", error)
        yield Worker()
        return
    try:
        with connection:
            yield Worker(connection)
    finally:
        process.terminate()  # it removes unfinished files
        process.wait()


def _start(modules: Sequence[str]) -> "tuple[subprocess.Popen[bytes], Connection[Any, Any]]":
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(os.getpid()), str(theirs.fileno()), *modules],
            env=os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,  # a terminal sends Ctrl-C to the first process alone, which ends this one
        )
    return process, ours


def main(parent: int, descriptor: int, modules: Sequence[str]) -> None:
    """Call each function that is received, and send back whether it succeeded, and its result or error."""
    prepare_process()
    logging.getLogger("aunet").addHandler(LogHandler())
    logging.getLogger("aunet").setLevel(logging.INFO)
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt), ended_like_ctrl_c():
        end_with_parent(parent)
        for module in modules:
            import_module(module)
        with Connection(descriptor) as connection:
            while True:
                connection.send(_outcome(connection.recv()))


def _outcome(function: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, function()
    except Exception as error:  # noqa: BLE001 -- the first process raises it
        error.add_note(traceback.format_exc())
        return False, error


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
