"""One process per run folder: a lock that the system releases when its holder ends, however it ends."""

import json
import logging
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from aunet.errors import UserError
from aunet.files import JsonObject, read_json_if_sound, remove_all_remainders, remove_remainders
from aunet.machine import lock_file, started_rank
from aunet.runs.run_folder import RunFolder

_log = logging.getLogger(__name__)
# A process that only checks the lock holds it for a moment, so an attempt to take it is repeated.
_ATTEMPTS, _PAUSE_SECONDS = 10, 0.05


@contextmanager
def locked_folder(folder: Path, *, is_new: bool = False) -> Generator[None]:
    """Hold the lock of ``folder``; in a run of many processes, the first one does so for all.

    If the block raises before anything is written, ``folder`` is as before: removed if it is made here or ``is_new``,
    made by this command; left in place, empty, if it is the user's own.

    Raises:
        UserError: another process holds it.
    """
    if started_rank() > 0:
        yield
        return
    try:
        folder.mkdir(parents=True)
        is_new = True
    except FileExistsError:
        pass
    with RunFolder(folder).lock.open("a+", encoding="utf-8") as file:
        if not _is_taken_over(file.fileno(), folder):
            raise _in_use(folder)
        _remove_remainders(folder)
        file.truncate(0)
        json.dump({"host": socket.gethostname(), "process": os.getpid()}, file)
        file.flush()
        try:
            yield
        except BaseException:
            _clear_if_unused(folder, is_new=is_new)
            raise


def check_unlocked(folder: Path) -> None:
    """Raise UserError if another process holds the lock of ``folder``."""
    if is_locked(folder):
        raise _in_use(folder)


def is_locked(folder: Path) -> bool:
    """Return whether a living process holds the lock of ``folder``."""
    try:
        with RunFolder(folder).lock.open("rb") as file:
            lock_file(file.fileno(), is_shared=True)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def holder(folder: Path) -> JsonObject:
    """Return ``host`` and ``process`` (id) that held the lock of ``folder`` last; empty if none ever did."""
    return read_json_if_sound(RunFolder(folder).lock)


def _is_taken_over(descriptor: int, folder: Path) -> bool:
    """Try to take the lock, and return whether that succeeded; on a file system without locks, warn and return True."""
    for _ in range(_ATTEMPTS):
        try:
            lock_file(descriptor)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        except OSError as error:
            _log.warning(
                "%s cannot be locked (%s); make sure that no second process trains in it.", folder, error.strerror
            )
            return True
    return False


def _clear_if_unused(folder: Path, *, is_new: bool) -> None:
    """If ``folder`` holds the lock alone, remove that, and the folder if it ``is_new``: a refused start leaves none."""
    with suppress(OSError):
        if list(folder.iterdir()) == [RunFolder(folder).lock]:
            RunFolder(folder).lock.unlink()
            if is_new:
                folder.rmdir()


def _remove_remainders(folder: Path) -> None:
    """Delete unfinished files of a run that was killed; checkpoints can be large."""
    run = RunFolder(folder)
    remove_remainders(run.config, run.record, run.splits, run.metrics, run.timing, run.report)
    for inner in (run.checkpoints.path, run.attention.path, run.test.path):
        remove_all_remainders(inner)


def _in_use(folder: Path) -> UserError:
    found = holder(folder)
    who = f"process {found['process']} on {found['host']}" if found else "another process"
    return UserError(f"{folder}: {who} is working in this folder. Wait for it, stop it, or choose another folder.")
