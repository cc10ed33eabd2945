"""Removal of hidden files that a killed prediction left in its output folder, but never those of a running one."""

import re
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aunet.inference.prediction_files import ScanFile
from aunet.machine import lock_file
from aunet.pipeline.prediction_delivery import INNER_FOLDERS
from aunet.pipeline.prediction_manifest import MANIFEST
from aunet.runs.run_folder import CLASS_NAMES

LOCK = ".predict.lock"
"""The file by which predictions into one folder know of each other; it stays, as deleting it would part them."""
SCRATCH = "volumes"
"""The end of the name of a folder for volumes that wait on the disk."""

# As ``aunet.files`` names a file until it is complete.
_UNFINISHED = re.compile(r"\.[0-9a-f]{8}-(.+)")


@contextmanager
def cleared_of_leftovers(folder: Path, files: Sequence[ScanFile]) -> Generator[None]:
    """Remove unfinished files of earlier predictions of ``files`` from ``folder``, then hold its lock.

    Nothing is removed while another process predicts into ``folder``, or if the file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("wb") as lock:
        try:
            lock_file(lock.fileno())
        except OSError:
            pass
        else:
            _remove(_find_leftovers(folder, files))
        with suppress(OSError):
            lock_file(lock.fileno(), is_shared=True, is_waiting=True)
        yield


def _find_leftovers(folder: Path, files: Sequence[ScanFile]) -> list[Path]:
    names = {SCRATCH, MANIFEST, CLASS_NAMES, *(file.label_map.name for file in files)}
    beside = [path for path in folder.glob(".*-*") if _unfinished_name(path) in names]
    # Only predictions write to these folders.
    inside = [path for kind in INNER_FOLDERS for path in (folder / kind).rglob(".*-*") if _unfinished_name(path)]
    return beside + inside


def _unfinished_name(path: Path) -> str | None:
    """Return the name that an unfinished file or folder was to get; None if it is not one."""
    found = _UNFINISHED.fullmatch(path.name)
    return found[1] if found else None


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
