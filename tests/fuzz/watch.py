"""The watch over a reader: what it may raise, how long it may take, how much it may hold, and what it must not do."""

import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from aunet.errors import UserError

SECONDS = 20
"""The most processor time that one small input may take."""
WAITED_SECONDS = 600
"""The longest that it may take with all that it waits for: others use the machine too, or stop this process."""
MEBIBYTES = 600
"""The most address space that one small input may add: libraries that are loaded only now take a part of it."""

_EXECUTION = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn"),
    *("pickle.find_class", "socket.connect", "socket.bind"),
}
_REMOVAL = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class TooSlowError(BaseException):
    """An input took longer than ``SECONDS`` or ``WAITED_SECONDS``; no reader catches it."""


class ForbiddenError(BaseException):
    """A reader executed something, connected, or wrote outside its folder; no reader catches it."""


@dataclass
class Violations:
    """The violations of the rules, by kind and place, and the number of the first input of each."""

    counts: Counter[str] = field(default_factory=Counter[str])
    first: dict[str, int] = field(default_factory=dict[str, int])
    num_inputs: int = 0
    num_refused: int = 0

    def add(self, error: BaseException, number: int) -> None:
        """Count ``error``, which input ``number`` caused."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/aunet/" in frame.filename] or frames
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno} in {ours[-1].name}"
        key = f"{type(error).__name__} at {place}: {str(error)[:160]!r}"
        kind = next((known for known in self.counts if known.partition(": ")[0] == key.partition(": ")[0]), key)
        self.counts[kind] += 1
        self.first.setdefault(kind, number)

    def __str__(self) -> str:
        """Return a line for each kind."""
        return "\n".join(f"{count} x {key} (input {self.first[key]})" for key, count in self.counts.most_common())


class _Guard:
    """The rules in force while an input is read; outside of that, an audit hook, which cannot be removed, is idle."""

    def __init__(self) -> None:
        self.places: tuple[str, ...] | None = None
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        places = self.places
        if places is None:
            return
        if (event in _EXECUTION and not _is_from_tests(event)) or (event, arguments[0]) == ("import", "planted"):
            raise ForbiddenError(f"{event} {arguments[:2]!r}")
        if (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING) or event in _REMOVAL:
            self._check(arguments[0], event, places)

    @staticmethod
    def _check(path: object, event: str, places: tuple[str, ...]) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - any text, also one that no Path takes
            if not absolute.startswith(places):
                raise ForbiddenError(f"{event} {absolute}")


_GUARD: list[_Guard] = []


@contextmanager
def watched(folder: Path) -> Generator[None]:
    """Raise ForbiddenError for a write outside ``folder``, TooSlowError if it is too slow, MemoryError for its room."""
    if not _GUARD:
        _GUARD.append(_Guard())
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = ((signal.ITIMER_PROF, signal.SIGPROF, SECONDS), (signal.ITIMER_REAL, signal.SIGALRM, WAITED_SECONDS))
    handlers = [signal.signal(number, _stop) for _, number, _ in limits]
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEBIBYTES * 2**20, hard))
        for timer, _, seconds in limits:
            signal.setitimer(timer, seconds)
        _GUARD[0].places = (str(folder), tempfile.gettempdir() + "/tmp", "/dev/null", "/dev/shm", "/proc/self")
        sys.dont_write_bytecode = True  # of modules that the first input imports
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.dont_write_bytecode = False
        _GUARD[0].places = None
        for (timer, number, _), handler in zip(limits, handlers, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def try_inputs(
    inputs: Iterator[Callable[[], object]], folder: Path, allowed: tuple[type[Exception], ...] = (UserError,)
) -> Violations:
    """Try every input, each a function that reads one, and return what breaks the rules."""
    found = Violations()
    for number, read in enumerate(inputs):
        found.num_inputs += 1
        try:
            with watched(folder):
                read()
        except allowed as error:
            found.num_refused += 1
            _check_message(error, found, number)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            found.add(error, number)
    return found


def _check_message(error: Exception, found: Violations, number: int) -> None:
    """Count a refusal that would fail when it is printed, or that is a traceback."""
    text = str(error)
    if not text.strip() or "Traceback" in text:
        found.add(AssertionError(f"a refusal that says nothing of use: {text!r}"), number)


def _is_from_tests(event: str) -> bool:
    """Return whether tests/quick_composing.py, which keeps compositions as pickles, causes an event."""
    frames = traceback.extract_stack() if event == "pickle.find_class" else []
    return any(frame.filename.endswith("quick_composing.py") for frame in frames)


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _stop(number: int, frame: FrameType | None) -> None:
    raise TooSlowError
