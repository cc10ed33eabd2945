"""Facts about this machine, its locks and processes, on Linux, macOS and Windows, which lack different parts."""

import ctypes
import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

try:
    import fcntl
    import resource
except ModuleNotFoundError:  # on Windows
    fcntl = resource = None

# Where Linux keeps memory that processes share; containers often limit it to 64 MB.
_SHARED_MEMORY = "/dev/shm"
# Memory assumed if the system does not report it.
_USUAL_MEMORY_BYTES = 8 * 2**30
_PR_SET_PDEATHSIG = 1  # prctl(2)
# Signals of a stop: Ctrl-C, those of schedulers, and of a terminal that is closed; Windows has no SIGHUP.
STOPS = tuple(number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP"))
# Schedulers repeat a signal within moments. A later one is a new request: Python drops an exception that is raised in
# the middle of starting a process.
_REPEATED_SECONDS = 3.0
_DESTRUCTOR_SECONDS = 0.05  # destructors are brief
# Of Linux's control groups, by their version: the files of limit and use, and the line of unused file cache.
_FIRST_VERSION = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_SECOND_VERSION = ("memory.max", "memory.current", "inactive_file")


def is_started_as_rank() -> bool:
    """Return whether torchrun started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def started_rank() -> int:
    """Return the number of this process among those that torchrun started, 0 if it did not.

    Other programs set RANK as well, also for a process that is alone, so it counts only beside torchrun's own variable.
    """
    return int(os.environ["RANK"]) if is_started_as_rank() else 0


def local_rank() -> int:
    """Return the number of this process on this machine, 0 if torchrun did not start it."""
    return int(os.environ["LOCAL_RANK"]) if is_started_as_rank() else 0


def count_cores() -> int:
    """Return the number of cores that this process may use; if the system keeps no such list, of all cores."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # on macOS and Windows
        return os.cpu_count() or 1


class OtherWork:
    """The cores that the processes of others keep busy, from the making of this object on; only Linux counts them.

    Args:
        processes: the folder of Linux's files on processes.
        own: the number of the process whose work, with that of its descendants, is not that of others; None for this.
    """

    def __init__(self, processes: Path = Path("/proc"), own: int | None = None) -> None:
        self._processes, self._own = processes, own or os.getpid()
        self._start, self._seconds = time.perf_counter(), _others_seconds(self._processes, self._own)

    def busy_cores(self) -> float:
        """Return their mean number until now; 0 if the system does not count them."""
        passed, seconds = time.perf_counter() - self._start, _others_seconds(self._processes, self._own)
        if self._seconds is None or seconds is None or passed == 0:
            return 0.0
        return max(0.0, (seconds - self._seconds) / passed)


def _others_seconds(processes: Path, own: int) -> float | None:
    """Return the processor time in seconds, since the machine started, of all but this process and its descendants."""
    try:
        ticks = sum(map(int, (processes / "stat").read_text().split(maxsplit=4)[1:4]))  # user, nice, system
        return (ticks - _ticks_of_descent(processes, own)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def _ticks_of_descent(processes: Path, own: int) -> int:
    """Return the clock ticks of process ``own`` and of all below it, as those of a tracker, that have not ended."""
    parents, ticks = dict[int, int](), dict[int, int]()
    for file in processes.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = file.read_text().rpartition(")")[2].split()
            process = int(file.parent.name)
            parents[process], ticks[process] = int(fields[1]), sum(map(int, fields[11:15]))
    descent = {own}
    while found := {process for process, parent in parents.items() if parent in descent} - descent:
        descent |= found
    return sum(ticks.get(process, 0) for process in descent)


def memory_bytes() -> int:
    """Return the memory in bytes that this process may use, 8 GiB if the system does not report it.

    It is that of the machine, or less if Linux limits a container or a job of a cluster to less.
    """
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # on Windows
        return _USUAL_MEMORY_BYTES
    return min([machine, *(limit for limit, _ in _group_memory())])


def available_memory_bytes() -> int:
    """Return the memory in bytes that this process can still take; if the system does not report it, all of it.

    On Linux it is the system's estimate, which counts the file cache as free, or less if limited as ``memory_bytes``.
    """
    available = _memory_fact("MemAvailable")
    if available is None:
        return memory_bytes()
    return min([available, *(limit - used for limit, used in _group_memory())])


def free_swap_bytes() -> int:
    """Return the free bytes of swap space; 0 if the system does not report them."""
    return _memory_fact("SwapFree") or 0


def _memory_fact(name: str) -> int | None:
    """Return a number of bytes that Linux reports; None on other systems."""
    try:
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024 * int(facts[name].split()[0])
    except (OSError, KeyError):
        return None


def _group_memory(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[tuple[int, int]]:
    """Return limit and use in bytes of each of Linux's control groups with a limit that this process is in.

    Args:
        own: the file that lists the groups.
        root: where they are mounted. In a container that may be its own group, without the path in ``own``.
    """
    found: list[tuple[int, int]] = []
    for line in own.read_text().splitlines() if own.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, files = (root / "memory", _FIRST_VERSION) if controllers else (root, _SECOND_VERSION)
        group = mount / path.strip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError, KeyError):  # no such group, or "max" instead of a limit
                found.append(_limit_and_use(folder, *files))
            if folder == mount:
                break
    return found


def _limit_and_use(folder: Path, limit: str, used: str, cached: str) -> tuple[int, int]:
    """Return both in bytes; file cache that is not in use counts as free."""
    statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return int((folder / limit).read_text()), int((folder / used).read_text()) - int(statistics[cached])


def free_shared_memory() -> int | None:
    """Return the bytes that processes can still share; None if the system does not limit or report them."""
    try:
        found = os.statvfs(_SHARED_MEMORY)
    except (AttributeError, OSError):  # on Windows; on macOS
        return None
    return found.f_bavail * found.f_frsize


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process in bytes; 0 if the system does not report it."""
    if resource is None:
        return 0
    if (high_water := _high_water_bytes()) is not None:
        return high_water
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


def _high_water_bytes() -> int | None:
    """Return Linux's peak of this program alone; ``ru_maxrss`` counts that of the process which started it too."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def end_with_parent(parent: int | None = None) -> None:
    """Let Linux send SIGTERM to this process when its parent ends: a training then stops with a checkpoint.

    On other systems it continues. With the id of the ``parent``, exit if it has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        sys.exit(1)


@contextmanager
def ended_like_ctrl_c() -> Generator[None]:
    """Raise KeyboardInterrupt in the block on SIGTERM and SIGHUP: it removes unfinished files and ends its processes.

    A signal that is repeated within seconds counts once. One that is ignored, as by nohup, or has a handler stays as
    it is.
    """
    is_main = threading.current_thread() is threading.main_thread()  # only there Python sets handlers
    ends = [number for number in STOPS if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_DFL]
    last = -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if time.monotonic() - last < _REPEATED_SECONDS:
            return
        if _is_in_destructor(frame):
            # Python drops what __del__ raises, so the block would continue.
            again = threading.Timer(_DESTRUCTOR_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        last = time.monotonic()
        raise KeyboardInterrupt

    for number in ends if is_main else ():
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ends if is_main else ():
            signal.signal(number, signal.SIG_DFL)


def _is_in_destructor(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def ignore_stops() -> None:
    """Ignore Ctrl-C, SIGTERM and SIGHUP from now on."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def lock_file(descriptor: int, *, is_shared: bool = False, is_waiting: bool = False) -> None:
    """Lock an open file until it is closed.

    Raises:
        BlockingIOError: another process holds the lock; unless ``is_waiting``.
        OSError: the system or the file system has no such locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, "this system has no such locks")
    fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | (0 if is_waiting else fcntl.LOCK_NB))
