"""Facts about this machine, its locks and processes, on Linux, macOS and Windows, which lack different parts."""

import ctypes
import errno
import os
import signal
import sys
from pathlib import Path

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


def memory_bytes() -> int:
    """Return the memory of this machine in bytes, 8 GiB if the system does not report it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # on Windows
        return _USUAL_MEMORY_BYTES


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


def lock_file(descriptor: int, *, is_shared: bool = False, is_waiting: bool = False) -> None:
    """Lock an open file until it is closed.

    Raises:
        BlockingIOError: another process holds the lock; unless ``is_waiting``.
        OSError: the system or the file system has no such locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, "this system has no such locks")
    fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | (0 if is_waiting else fcntl.LOCK_NB))
