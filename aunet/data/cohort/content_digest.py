"""Digests of file contents, remembered by size, time and inode, so that each file is read only once.

The fingerprint of a dataset is the digest of its cases.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aunet.data.cohort.case import Case
from aunet.data.io.dicom_files import files_of_scan, is_folder_of_files, series_of_path
from aunet.data.io.formats import files_of
from aunet.errors import UserError
from aunet.files import write_text
from aunet.terminal import shown

_log = logging.getLogger(__name__)
_VERSION = 1
_THREADS = min(4, os.cpu_count() or 1)
# A file written twice within a tick of the file system's clock looks unchanged, so fresh files are not remembered.
_FRESH_NS = 2_000_000_000
# A time further ahead comes from a clock that was wrong, not from a moment ago; time zones differ by less.
_AHEAD_NS = 24 * 3600 * 1_000_000_000
_MOST_FILES = 200_000
# Size, modification time in ns, inode, SHA-256 in hexadecimal digits.
_Entry = tuple[int, int, int, str]


class ContentDigests:
    """SHA-256 of files. ``memory`` is a JSON file kept between runs; without it, only this object remembers.

    A file with its remembered size, modification time and inode is taken to be unchanged.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._known = _read(memory) if memory else {}
        self._learnt: dict[str, _Entry] = {}

    def of_case(self, case: Case) -> str:
        """Return the SHA-256 of the images and reference of a case; raise UserError for a file that cannot be read."""
        return self._of_files(case, case.files)

    def of_cases(self, cases: Iterable[Case]) -> list[str]:
        """Return the digest of each case. New or changed files are read, several at once, showing progress."""
        return self._of_each(cases, self.of_case)

    def of_images(self, cases: Iterable[Case]) -> list[str]:
        """Return the digest of each case's images alone, which stays the same if its reference is corrected."""
        return self._of_each(cases, lambda case: self._of_files(case, case.images))

    def _of_files(self, case: Case, files: Iterable[Path]) -> str:
        digest = hashlib.sha256()
        for path in files:
            digest.update(self._of_path(path, case.case_id))
        return digest.hexdigest()

    def _of_each(self, cases: Iterable[Case], digest_of: Callable[[Case], str]) -> list[str]:
        listed = list(cases)
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(digest_of, listed)
            digests = list(shown(found, "Checking files", len(listed)))
        if self._memory and self._learnt:
            self._keep(self._memory)
            self._known, self._learnt = self._known | self._learnt, {}
        return digests

    def _keep(self, memory: Path) -> None:
        """Add what was learnt to ``memory``; warn if that fails, as on a full disk: the files are then read again."""
        try:
            _write(memory, _read(memory) | self._learnt)
        except OSError as error:
            _log.warning("%s cannot be written (%s): the next run reads every file again.", memory, error.strerror)

    def _of_path(self, path: Path, case_id: str) -> bytes:
        try:
            if is_folder_of_files(path):
                return self._of_folder(path)
            digests = [self._of_file(file) for file in files_of(path)]
            return digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()
        except OSError as error:
            raise UserError(
                f"{path}: the file of case {case_id} cannot be read ({error.strerror})."
                " Restore it or take the case out."
            ) from None

    def _of_folder(self, folder: Path) -> bytes:
        """Return the digest of a series of slices: the series chosen, the names and contents of all files."""
        digest = hashlib.sha256((series_of_path(folder)[1] or "").encode())
        for path in files_of_scan(folder):
            digest.update(path.name.encode(errors="surrogateescape") + b"\0" + self._of_file(path))
        return digest.digest()

    def _of_file(self, path: Path) -> bytes:
        name, status = str(path.absolute()), path.stat()
        identity = (status.st_size, status.st_mtime_ns, status.st_ino)
        entry = self._learnt.get(name) or self._known.get(name)
        if entry is None or entry[:3] != identity:
            is_fresh = -_AHEAD_NS < time.time_ns() - status.st_mtime_ns < _FRESH_NS
            with path.open("rb") as file:
                entry = (*identity, hashlib.file_digest(file, "sha256").hexdigest())
            if not is_fresh:
                self._learnt[name] = entry
        return bytes.fromhex(entry[3])


def _read(memory: Path) -> dict[str, _Entry]:
    """Read the remembered digests; return none if they are damaged or of another version, as they can be made again."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            return {}
        entries = ((str(name), _entry(*entry)) for name, entry in content["files"].items())
        return dict(entries)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, OverflowError, RecursionError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s is damaged (%s): every file is read again.", memory, error)
        return {}


def _entry(size: int, modified: int, inode: int, digest: str) -> _Entry:
    if len(bytes.fromhex(digest)) != hashlib.sha256().digest_size:
        raise ValueError(f"digest {digest}")
    return int(size), int(modified), int(inode), digest


def _write(memory: Path, entries: dict[str, _Entry]) -> None:
    newest = dict(list(entries.items())[-_MOST_FILES:])
    write_text(memory, json.dumps({"version": _VERSION, "files": newest}))


def dataset_fingerprint(cases: Sequence[Case], digests: ContentDigests) -> str:
    """Return 16 hexadecimal digits that change if a case is added, removed or changed, but not with the order."""
    lines = sorted(f"{case.case_id} {digest}" for case, digest in zip(cases, digests.of_cases(cases), strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def file_fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change with the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
