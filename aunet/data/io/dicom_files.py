"""DICOM files on disk: which lie below a folder, and which folder and series the path of a scan means.

A folder is a scan. If it holds several series, ``FOLDER#3`` is its series number 3 and ``FOLDER#1.2.840.5`` the one
with that SeriesInstanceUID, wherever the path of a scan is expected.
"""

import gzip
import os
import struct
import zlib
from collections.abc import Generator
from itertools import islice
from pathlib import Path

from aunet.data.io.dicom_slices import read_dicom_file
from aunet.data.io.foreign import foreign_format
from aunet.data.io.pictures import picture_suffix
from aunet.errors import UserError

_PREAMBLE = 128
_MAGIC = b"DICM"
_HEAD_BYTES = 1024
_GZIP = b"\x1f\x8b"
UNPACK_GZIP = "Unpack it with gunzip."
_FILES_LOOKED_AT = 50
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_FIRST_GROUPS = (0x0002, 0x0008)
_LONG_KINDS = (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT")
_ELEMENTS_CHECKED = 3
# Bytes: the first elements are dates, names and identifiers of at most 64 characters, or a list of a few of them.
_LONGEST_FIRST_ELEMENT = 1024
_SERIES_MARK = "#"


def series_of_path(path: Path) -> tuple[Path, str | None]:
    """Return the folder of a scan and the requested series number or SeriesInstanceUID, None if none is requested."""
    folder, mark, series = path.name.rpartition(_SERIES_MARK)
    return (path.with_name(folder), series) if mark and folder and not path.exists() else (path, None)


def is_folder_of_files(path: Path) -> bool:
    """Return whether the path of a scan means a folder, not a file."""
    return series_of_path(path)[0].is_dir()


def files_of_scan(path: Path) -> list[Path]:
    """Return the files of a scan: the file itself, or every file below its folder."""
    return list(files_below(series_of_path(path)[0])) if is_folder_of_files(path) else [path]


def files_below(folder: Path) -> Generator[Path]:
    """Yield every file below ``folder`` in order of its name, hidden ones left out; a loop of links is walked once."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))
        seen.add(real)


def is_dicom(path: Path) -> bool:
    """Return whether the file begins as DICOM does; raise UserError if only its name does, or if it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); restore the file or its permissions.") from None
    if not begins_as_dicom(head) and path.suffix.lower() in DICOM_SUFFIXES:
        if head.startswith(_GZIP):
            raise UserError(f"{path}: named as DICOM, but it is compressed by gzip. {UNPACK_GZIP}")
        if picture := picture_suffix(head):
            raise UserError(f"{path}: named as DICOM, but it is a picture. Rename it so that it ends in {picture}.")
        if foreign := foreign_format(head):
            raise UserError(f"{path}: named as DICOM, but it is {foreign.name}. {foreign.remedy}")
        raise UserError(f"{path}: named as DICOM, but it does not begin as DICOM does; it is damaged: copy it again.")
    return begins_as_dicom(head)


def is_packed_dicom(path: Path) -> bool:
    """Return whether the file is one of DICOM that is compressed by gzip."""
    try:
        with path.open("rb") as file:
            if file.read(len(_GZIP)) != _GZIP:
                return False
        with gzip.open(path) as stream:
            return begins_as_dicom(stream.read(_HEAD_BYTES))
    except (OSError, EOFError, zlib.error):
        return False


def holds_dicom(folder: Path) -> bool:
    """Return whether one of the first files below ``folder`` begins as DICOM does; unreadable ones do not count."""
    return any(begins_as_dicom(_head(file)) for file in islice(files_below(folder), _FILES_LOOKED_AT))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE + len(_MAGIC))
    except OSError:
        return b""


def begins_as_dicom(head: bytes) -> bool:
    """Return whether these first bytes, at least 132, are those of a DICOM file, with or without its preamble.

    Files without it begin with their first element, of the group 0002 or 0008 in increasing order.
    """
    if head[_PREAMBLE : _PREAMBLE + len(_MAGIC)] == _MAGIC:
        return True
    return any(_begins_with_elements(head, order) for order in ("<", ">"))


def _begins_with_elements(head: bytes, order: str) -> bool:
    """Return whether the first two elements are plausible; the second begins where the length of the first ends."""
    tags, at = list[tuple[int, int]](), 0
    while len(tags) < _ELEMENTS_CHECKED and at + 12 <= len(head):
        group, element = struct.unpack_from(f"{order}HH", head, at)
        kind = head[at + 4 : at + 6]
        if kind in _LONG_KINDS:
            length, start = struct.unpack_from(f"{order}I", head, at + 8)[0], at + 12
        elif kind.isalpha() and kind.isupper():
            length, start = struct.unpack_from(f"{order}H", head, at + 6)[0], at + 8
        else:
            length, start = struct.unpack_from(f"{order}I", head, at + 4)[0], at + 8
        if group not in _FIRST_GROUPS or length % 2 or length > _LONGEST_FIRST_ELEMENT:
            return False
        tags.append((group, element))
        at = start + length
    return bool(tags) and tags == sorted(set(tags))


def dicom_scans_in(folder: Path) -> list[Path]:
    """Return the scans of a folder: itself if it, or only one subfolder, holds DICOM files, else such subfolders.

    In a folder with a subfolder per patient, each patient is a scan, however deep its files lie. The list is empty if
    there is no DICOM file. Files that hold a whole series each are scans of their own.
    """
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if entry.is_file() and is_dicom(entry)]
    if files:
        return files if _are_scans_each(files) else [folder]
    scans = [entry for entry in entries if entry.is_dir() and any(is_dicom(file) for file in files_below(entry))]
    return [folder] if len(scans) == 1 else scans


def _are_scans_each(files: list[Path]) -> bool:
    """Return whether several files each hold many slices of a series of their own."""
    series: set[str] = set()
    for path in files if len(files) > 1 else ():
        file = read_dicom_file(path)
        if len(file.slices) < 2 or file.series in series:
            return False
        series.add(file.series)
    return bool(series)


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: the folder cannot be read ({error.strerror}); restore its permissions.")
