"""Scans named on the command line, the paths of their label maps, and reading ahead of the network."""

import logging
import os
import shlex
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from aunet.data.cohort.case import Case
from aunet.data.io.dicom_files import dicom_scans_in, is_dicom, is_folder_of_files, series_of_path
from aunet.data.io.dicom_slices import read_dicom_file
from aunet.data.io.formats import DICOM, READABLE, format_of_name, header_of_scan, is_scan
from aunet.data.io.pictures import is_picture
from aunet.data.io.volume import is_image, label_suffix, stem
from aunet.errors import UserError
from aunet.inference.output_format import OutputFormat
from aunet.messages import alike_but_for_case, counted, shortened

_log = logging.getLogger(__name__)
# Bytes: file systems allow 255, of which a temporary prefix takes 10.
_LONGEST_NAME = 240
_LISTS = (".txt", ".csv", ".tsv", ".lst")
_FILES_LOOKED_AT = 5  # beside a slice, to see whether the others of its series are there
Read = TypeVar("Read")


@dataclass(frozen=True)
class ScanFile:
    """A scan and the path of its label map; ``further_channels`` are the files of channels after the first.

    ``fault`` is why there is nothing to read at ``scan``, empty if there is.
    """

    scan: Path
    label_map: Path
    further_channels: tuple[Path, ...] = ()
    fault: str = ""

    @property
    def name(self) -> str:
        """Return the name of the label map without its suffix."""
        return stem(self.label_map)

    @property
    def files(self) -> Path | tuple[Path, ...]:
        """Return what to read: the scan, or the files of all its channels."""
        return (self.scan, *self.further_channels) if self.further_channels else self.scan


def scan_files(
    inputs: Sequence[Path], output: Path, *, is_overwriting: bool = False, label_format: OutputFormat | None = None
) -> list[ScanFile]:
    """Return the scans in files, folders of them and folders of DICOM, each with ``output/<name of the scan>.nii.gz``.

    A folder with DICOM files is one scan. If several folders below a given one hold some, each is a scan. The label map
    has the format of its scan if that can hold one, else NIfTI, unless ``label_format`` asks for another. That of a
    picture is a PNG. An input that does not exist, or a folder without scans, is returned with its ``fault``, so that
    it fails as a damaged scan does, after which the others are predicted.

    Raises:
        UserError: if no input holds a scan; for a missing input before the first scan, which may be a run; for two
            scans of one name, and a label map that exists already unless ``is_overwriting``; a scan itself is never
            overwritten.
    """
    scans: dict[tuple[str, Path], Path] = {}
    faults: dict[Path, str] = {}
    for path in inputs:
        try:
            found = _scans_at(path)
        except UserError as error:
            if not scans and not is_image(path):
                raise
            found, faults[path] = [path], str(error)
        for scan in found:
            # By two paths it is one scan; a link of another name is a scan of its own.
            scans.setdefault((_name(scan), scan.resolve()), scan)
    if len(faults) == len(scans):
        raise UserError("\n".join(faults.values()))
    files = [
        ScanFile(
            scan,
            output / (_name(scan) + _suffix(scan, None if scan in faults else label_format)),
            fault=faults.get(scan, ""),
        )
        for scan in scans.values()
    ]
    _tell_single_slices(list(scans.values()))
    _tell_alike_names(files)
    return _checked(files, output, is_overwriting)


def scan_files_of_cases(
    cases: Sequence[Case], output: Path, *, is_overwriting: bool = False, label_format: OutputFormat | None = None
) -> list[ScanFile]:
    """Return the images of ``cases``, each with ``output/<case_id>`` and a suffix; see ``scan_files``."""
    files = [
        ScanFile(case.images[0], output / (case.case_id + _suffix(case.images[0], label_format)), case.images[1:])
        for case in cases
    ]
    return _checked(files, output, is_overwriting)


def _suffix(scan: Path, label_format: OutputFormat | None) -> str:
    return label_suffix(scan) if label_format is None else label_format.suffix_for(scan)


def _checked(files: list[ScanFile], output: Path, is_overwriting: bool) -> list[ScanFile]:
    _check_lengths(files)
    _check_distinct(files)
    _check_no_scan_replaced(files)
    if not is_overwriting:
        _check_none_exists(files, output)
    return files


def read_ahead(read: Callable[[ScanFile], Read], files: Sequence[ScanFile]) -> Generator[tuple[ScanFile, Future[Read]]]:
    """Yield each file with what ``read`` returns, called in another thread while the previous file is processed.

    The future's ``result()`` raises the errors of ``read``. No more than two scans are held at a time.
    """
    with ThreadPoolExecutor(1) as thread:
        upcoming = [thread.submit(read, file) for file in files[:1]]
        for number, file in enumerate(files, start=1):
            current = upcoming.pop()
            upcoming.extend(thread.submit(read, following) for following in files[number : number + 1])
            yield file, current


def _scans_at(path: Path) -> list[Path]:
    path = header_of_scan(path)
    if path.is_file() and path.suffix.lower() in _LISTS:
        raise UserError(
            f"{path}: a list, not a scan. Give the paths in it, one a line, on standard input: aunet predict RUN - <"
            f" {shlex.quote(str(path))}; a table of labelled cases is a dataset: data=folder"
            f" {shlex.quote(f'data.root={path}')} 'data.classes={{spleen: 1, liver: 2}}'."
        )
    if path.is_file() or (is_folder_of_files(path) and not path.is_dir()):
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; give {READABLE}, or folders of them.")
    # Pictures last: beside scans they are previews.
    files = sorted(path.iterdir())
    scans = [file for file in files if is_scan(file) and format_of_name(file) is not DICOM]
    if scans and (left := [file.name for file in files if format_of_name(file) is DICOM]):
        text = "%s: %s beside other scans are left out: %s. To label them, give them as files, or their own folder."
        _log.warning(text, path, counted(len(left), "DICOM file"), shortened(left))
    scans = scans or dicom_scans_in(path) or list(filter(is_picture, files))
    if not scans:
        raise UserError(
            f"{path}: the folder holds no file of a known format ({READABLE}){_scans_below(path)}. Give the folder of"
            " the scans."
        )
    return scans


def _scans_below(path: Path) -> str:
    """Return where below a folder without scans there are some, as in a dataset of nnU-Net or BIDS, for a message."""
    scans = sorted(file for file in path.rglob("*") if is_image(file))
    if not scans:
        return ""
    suffix = scans[0].name.removeprefix(stem(scans[0]))
    listed = f"find {shlex.quote(str(path))} -name '*{suffix}' | aunet predict RUN - …"
    names = shortened(sorted({str(scan.parent.relative_to(path)) for scan in scans}))
    return f"; there are some in {names}. Those of several folders can be listed: {listed}"


def _tell_single_slices(scans: Sequence[Path]) -> None:
    """Log a warning for each series of which slices are given as files, as by IM*.dcm: each becomes a scan."""
    slices: dict[tuple[Path, str], list[Path]] = {}
    for scan in scans:
        if (series := _series_of_slice(scan)) is not None:
            slices.setdefault((scan.parent, series), []).append(scan)
    series_beside = {folder: _series_beside(folder, set(scans)) for folder in {folder for folder, _ in slices}}
    for (folder, series), given in slices.items():
        if len(given) > 1 or series in series_beside[folder]:
            _log.warning(
                "%s: %s of one series given as files, and each becomes a scan of one slice. To label the series as one"
                " scan, give its folder: %s.",
                *(given[0], counted(len(given), "slice"), folder),
            )


def _series_beside(folder: Path, given: Collection[Path]) -> set[str | None]:
    """Return the series of the first files of ``folder`` that are not ``given``."""
    others = (file for file in sorted(folder.iterdir()) if file not in given)
    return set(map(_series_of_slice, islice(others, _FILES_LOOKED_AT)))


def _series_of_slice(path: Path) -> str | None:
    """Return the series of a DICOM file of one slice; None for anything else, also for a file that is damaged."""
    try:
        if not path.is_file() or format_of_name(path) not in (DICOM, None) or not is_dicom(path):
            return None
        file = read_dicom_file(path)
    except UserError:
        return None
    return file.series if len(file.slices) == 1 else None


def _tell_alike_names(files: Sequence[ScanFile]) -> None:
    for names in alike_but_for_case(file.name for file in files):
        _log.warning(
            "The label maps %s differ only in upper and lower case. Windows and macOS take them for one, so one would"
            " replace the other there; predict them into two folders.",
            shortened(names),
        )


def _name(scan: Path) -> str:
    folder, series = series_of_path(scan.absolute())
    if not folder.is_dir():
        return stem(scan)
    return folder.name if series is None else f"{folder.name}_{series}"


def _check_lengths(files: Sequence[ScanFile]) -> None:
    for file in files:
        if (length := len(os.fsencode(file.label_map.name))) > _LONGEST_NAME:
            raise UserError(
                f"{file.scan}: its label map would be named by {length} bytes, at most {_LONGEST_NAME} are possible;"
                " rename the scan."
            )


def _check_distinct(files: Sequence[ScanFile]) -> None:
    file_of: dict[str, ScanFile] = {}
    for file in files:
        first = file_of.setdefault(file.name, file)  # further volumes and the record bear it without a suffix
        if first.scan != file.scan:
            shared = file.label_map.name if first.label_map == file.label_map else file.name
            raise UserError(f"{first.scan} and {file.scan} would both become {shared}; predict them into two folders.")


def _check_no_scan_replaced(files: Sequence[ScanFile]) -> None:
    scans = {file.scan.resolve() for file in files}
    for file in files:
        if file.label_map.resolve() in scans:
            raise UserError(f"{file.label_map}: a label map would replace this scan; give another --output folder.")


def _check_none_exists(files: Sequence[ScanFile], output: Path) -> None:
    existing = [file.label_map.name for file in files if file.label_map.exists()]
    if existing:
        raise UserError(
            f"{output}: {len(existing)} of {len(files)} label maps are there already, {existing[0]} for one; "
            "add --overwrite to replace them or give another --output folder."
        )
