"""Settings of this process that must be made before torch is loaded: waiting threads, malloc, Python's collector.

The first two are measured in `experiments/benchmarks/process_settings.py`, the last in `start_up.py` beside it. None
changes a result.
"""

import atexit
import ctypes
import gc
import getpass
import os
import platform
import time
from collections.abc import MutableMapping

from aunet.light_imports import import_lightly

# The command line loads this module before anything slow.
_STARTED = time.perf_counter()

# Rounds that an OpenMP thread spins before it sleeps. libgomp's default of 300,000 (milliseconds) keeps a core busy
# while its owner waits for a thread that another process has pushed off the other core. Of the values tried, 10,000
# costs 2 % of a step on idle cores, 1,000 costs 10 %.
_SPIN_ROUNDS = "10000"
_WAIT_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

# Bytes. malloc takes smaller blocks from its own heap, which keeps its pages when they are freed; each larger block is
# mapped and unmapped, and every page of every large activation is faulted in again at each step. The same number
# bounds the free memory that the top of the heap keeps. The largest activation of a 160x160x96 patch, batch 2, takes
# 0.3 GB.
_KEPT_BYTES = 2**30
_MALLOC_VARIABLES = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")
# Parameter numbers of mallopt(3), from <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


# New containers between two collections of garbage, 700 by default. The imports of a training make half a million that
# all stay: searching them for garbage took 0.7 s of 4.4 s of processor time.
_CONTAINERS_PER_COLLECTION = 10_000


def seconds_since_start() -> float:
    """Return the seconds since this process began to load aunet."""
    return time.perf_counter() - _STARTED


def prepare_process(environment: MutableMapping[str, str] = os.environ) -> None:
    """Shorten the spinning of waiting threads and keep freed memory, unless ``environment`` sets them.

    Child processes inherit the first setting through ``environment``. Python collects garbage less often, and not at
    exit. Matplotlib draws without a screen, whatever ``environment`` sets. Libraries load less.
    """
    _collect_less()
    import_lightly()
    _name_user(environment)
    environment["MPLBACKEND"] = "agg"  # pictures go to files; another one may be unknown here, or need a screen
    if not _is_set(environment, _WAIT_VARIABLES):
        environment["GOMP_SPINCOUNT"] = _SPIN_ROUNDS
    if _has_mallopt() and not _is_set(environment, _MALLOC_VARIABLES):
        keep_freed_memory()


def describe_process(environment: MutableMapping[str, str] = os.environ) -> str:
    """Return one line on how threads wait and what malloc keeps in this process."""
    waiting = [f"{name}={environment[name]}" for name in _WAIT_VARIABLES if name in environment]
    malloc = [f"{name}={environment[name]}" for name in _MALLOC_VARIABLES if name in environment]
    kept = f"up to {_KEPT_BYTES / 2**30:g} GiB of freed memory kept" if _has_mallopt() else "malloc as it is"
    return f"threads wait with {', '.join(waiting) or 'the default of their library'}; {', '.join(malloc) or kept}"


def _name_user(environment: MutableMapping[str, str]) -> None:
    """Name a user without an entry in the system's list, as in a container: libraries ask when they are imported."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # depends on the version of Python
        environment["USER"] = "user"


def _has_mallopt() -> bool:
    return platform.libc_ver()[0] == "glibc"


def _collect_less() -> None:
    """Collect garbage less often, and exempt all objects at exit, which saves 1.6 s at the end of a training."""
    _, *older = gc.get_threshold()
    gc.set_threshold(_CONTAINERS_PER_COLLECTION, *older)
    atexit.unregister(gc.freeze)  # `prepare_process` may be called more than once
    atexit.register(gc.freeze)


def _is_set(environment: MutableMapping[str, str], names: tuple[str, ...]) -> bool:
    return any(name in environment for name in names)


def keep_freed_memory() -> None:
    """Raise both thresholds of glibc: setting one switches off the dynamic adjustment of the other."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
