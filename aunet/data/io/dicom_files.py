"""DICOM files on disk: which lie below a folder, and which folder and series the path of a scan means.

A folder is a scan. If it holds several series, ``FOLDER#3`` is its series number 3 and ``FOLDER#1.2.840.5`` the one
with that SeriesInstanceUID, wherever the path of a scan is expected.
"""

import os
from collections.abc import Generator
from pathlib import Path

from aunet.errors import UserError

_PREAMBLE = 128
_MAGIC = b"DICM"
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
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
            is_marked = file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); restore the file or its permissions.") from None
    if not is_marked and path.suffix.lower() in _DICOM_SUFFIXES:
        raise UserError(f"{path}: named as DICOM, but it does not begin as DICOM does; it is damaged: copy it again.")
    return is_marked


def dicom_scans_in(folder: Path) -> list[Path]:
    """Return the scans of a folder: itself if it, or only one subfolder, holds DICOM files, else such subfolders.

    In a folder with a subfolder per patient, each patient is a scan, however deep its files lie. The list is empty if
    there is no DICOM file.
    """
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if any(entry.is_file() and is_dicom(entry) for entry in entries):
        return [folder]
    scans = [entry for entry in entries if entry.is_dir() and any(is_dicom(file) for file in files_below(entry))]
    return [folder] if len(scans) == 1 else scans


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: the folder cannot be read ({error.strerror}); restore its permissions.")
