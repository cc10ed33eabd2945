"""The choice of a series among the DICOM files of a folder, and the names of the files that are left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import UID

from aunet.data.io.dicom_files import (
    DICOM_SUFFIXES,
    UNPACK_GZIP,
    files_of_scan,
    is_dicom,
    is_packed_dicom,
    series_of_path,
)
from aunet.data.io.dicom_geometry import order_slices
from aunet.data.io.dicom_slices import DicomFile, read_dicom_file
from aunet.errors import UserError

# Files that lie beside slices without being one; any other file that is not DICOM may be a damaged slice.
_COMPANIONS = frozenset(
    (
        *(
            ".txt",
            ".csv",
            ".tsv",
            ".json",
            ".xml",
            ".html",
            ".htm",
            ".pdf",
            ".md",
            ".log",
            ".ini",
            ".db",
            ".yaml",
            ".yml",
        ),
        *(".py", ".zip", ".xlsx", ".xls", ".doc", ".docx", ".inf", ".exe", ".lnk", ".sha1", ".md5", ".sha256"),
        *(".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".nii", ".gz", ".nrrd", ".mha", ".mhd"),
    )
)
_OTHER_SCANS = frozenset((".nii", ".gz", ".nrrd", ".mha", ".mhd"))
_NOTES = frozenset((".txt", ".json", ".xml", ".md5", ".sha1", ".sha256", ".jpg", ".png"))
_COMPANION_NAMES = frozenset(("readme", "license", "version", "lockfile"))
_SCANNERS = ("CT", "MR", "PT")
_NAMED = 5


@dataclass(frozen=True)
class ChosenSeries:
    """The files of one series, and sentences on what is left out: ``remarks`` to warn of, ``notes`` to mention."""

    files: Sequence[DicomFile]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Contents:
    """The files of a folder: slices by series, the largest series first, and the files that are not read."""

    series: Mapping[str, list[DicomFile]]
    others: Sequence[DicomFile]
    unreadable: Sequence[Path]


def choose_series(path: Path) -> ChosenSeries:
    """Return the requested series, or the only one in the folder that was not computed from another.

    Raises UserError, listing the candidates, if several are left, if a larger one would be left out, or if there is
    none.
    """
    contents, derived = _contents(path), list[list[DicomFile]]()
    _, wanted = series_of_path(path)
    if wanted is not None:
        found = {uid: files for uid, files in contents.series.items() if wanted in (uid, files[0].number)}
    else:
        found, derived = _originals(contents.series)
    if len(found) != 1:
        listed = found or contents.series
        matching = "no series" if not found else f"{len(found)} series"
        asked = "" if wanted is None else f" {wanted}"
        told = "".join(f"\n  {_described(files)}" for files in listed.values())
        raise UserError(
            f"{path}: {matching}{asked} of slices where one must be chosen. Name one by its number or UID behind #,"
            f" as in {series_of_path(path)[0]}#{_example(listed)}:{told}"
        )
    (files,) = found.values()
    beside = [file for file in contents.others if file.series != files[0].series]
    notes = (
        (f"{_kinds(beside)} beside the series are left out: localizers or no slices of a volume.",) if beside else ()
    )
    return ChosenSeries(files, tuple(_remarks(files, derived, contents)), notes)


def _remarks(files: Sequence[DicomFile], derived: Sequence[Sequence[DicomFile]], contents: _Contents) -> list[str]:
    remarks = [f"left out as derived from another series: {_described(others)}" for others in derived]
    uids = {file.series for file in files}
    odd = [file.path for file in contents.others if file.series in uids]
    for paths, reason in ((odd, "of the series, but no slices of a volume"), (contents.unreadable, "not DICOM")):
        if paths:
            number = f"{len(paths)} file{'s' if len(paths) > 1 else ''}"
            remarks.append(f"{number} left out as {reason}: {_listed([path.name for path in paths])}")
    return remarks


def _contents(path: Path) -> _Contents:
    paths = files_of_scan(path)
    marked = [file for file in paths if is_dicom(file)]
    if packed := next((file for file in paths if is_packed_dicom(file)), None):
        raise UserError(f"{packed}: DICOM that is compressed by gzip, a file of this scan. {UNPACK_GZIP}")
    if not marked:
        others = [file.name for file in paths if file.suffix.lower() in _OTHER_SCANS]
        holds = f" It holds {_listed(others)}: give that file, or put it in place of the folder." if others else ""
        raise UserError(f"{path}: no DICOM file in this folder; give the folder of a series, or a NIfTI file.{holds}")
    dicom = [read_dicom_file(file) for file in marked]
    is_plane = [bool(file.slices) and "LOCALIZER" not in file.image_type for file in dicom]
    planes = [file for file, is_one in zip(dicom, is_plane, strict=True) if is_one]
    if not planes:
        raise UserError(f"{path}: {_kinds(dicom)}, but no slices of a volume; give the folder of a CT or MR series.")
    uids = Counter(file.series for file in planes)
    series = {uid: [file for file in planes if file.series == uid] for uid, _ in uids.most_common()}
    return _Contents(
        _with_single_slices_merged(series, path),
        [file for file, is_one in zip(dicom, is_plane, strict=True) if not is_one],
        [file for file in paths if file not in set(marked) and not _is_companion(file)],
    )


def _is_companion(path: Path) -> bool:
    """Return whether the name is that of a file beside the slices; ``IM0001.dcm.zip`` may hold one of them."""
    if Path(path.stem).suffix.lower() in DICOM_SUFFIXES:
        return path.suffix.lower() in _NOTES
    return path.suffix.lower() in _COMPANIONS or path.stem.lower() in _COMPANION_NAMES


def _with_single_slices_merged(series: Mapping[str, list[DicomFile]], path: Path) -> Mapping[str, list[DicomFile]]:
    """Merge series of one slice each that are one volume; some programs give every slice a series UID of its own.

    Slices of one series number, size, direction and pixel spacing are taken together. If the numbers count the slices
    as well, they are taken together if they form a voxel grid.
    """
    groups: dict[tuple[object, ...], list[DicomFile]] = {}
    for file, *more in series.values():
        if not more and len(file.slices) == 1:
            plane = file.slices[0]
            place = tuple(np.round([*plane.along_row, *plane.along_column, *plane.spacing], 3).tolist())
            groups.setdefault((file.study, file.patient, file.modality, plane.shape, place), []).append(file)
    merged = dict(series)
    for files in groups.values():
        numbers = Counter(file.number for file in files)
        parts = [[file for file in files if file.number == number] for number in numbers]
        if len(files) > 1 and len(numbers) == len(files):
            parts = [files] if _is_grid(files, path) else []
        for part in parts:
            if len(part) > 1:
                merged = {uid: others for uid, others in merged.items() if others[0] not in part}
                merged[part[0].series] = part
    merged = _with_parts_merged(merged, path)
    return dict(sorted(merged.items(), key=lambda item: len(item[1]), reverse=True))


def _with_parts_merged(series: Mapping[str, list[DicomFile]], path: Path) -> dict[str, list[DicomFile]]:
    """Merge series of one study and number that form a voxel grid only together, in steps of one size.

    Some scanners and archives split a long series; neither part alone could be asked for as the whole.
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    for uid, files in series.items():
        first = files[0]
        key = (first.study, first.patient, first.modality, first.number, first.frame_of_reference, first.description)
        groups.setdefault((*key, "DERIVED" in first.image_type), []).append(uid)
    merged = dict(series)
    for key, uids in groups.items():
        together = [file for uid in uids for file in series[uid]]
        if len(uids) > 1 and key[3] and _is_grid(together, path):
            merged = {uid: files for uid, files in merged.items() if uid not in uids} | {uids[0]: together}
    return merged


def _is_grid(files: Sequence[DicomFile], path: Path) -> bool:
    try:
        order_slices([plane for file in files for plane in file.slices], path)
    except UserError:
        return False
    return True


def _originals(
    series: Mapping[str, list[DicomFile]],
) -> tuple[Mapping[str, list[DicomFile]], list[list[DicomFile]]]:
    """Return the series that were not computed from another and those left out; all if a larger one were left out."""
    derived = {uid: files for uid, files in series.items() if all("DERIVED" in file.image_type for file in files)}
    originals = {uid: files for uid, files in series.items() if uid not in derived}
    if not derived or not originals:
        return series, []
    if max(map(_num_voxels, derived.values())) > max(map(_num_voxels, originals.values())):
        return series, []
    return originals, list(derived.values())


def _num_slices(files: Sequence[DicomFile]) -> int:
    return sum(len(file.slices) for file in files)


def _num_voxels(files: Sequence[DicomFile]) -> int:
    return sum(plane.shape[0] * plane.shape[1] for file in files for plane in file.slices)


def _described(files: Sequence[DicomFile]) -> str:
    first = files[0]
    return (
        f"#{first.number or '-'} '{first.description}', {first.modality}, {_num_slices(files)} slices,"
        f" {'derived, ' if 'DERIVED' in first.image_type else ''}UID {first.series}"
    )


def _example(series: Mapping[str, list[DicomFile]]) -> str:
    uid, files = next(iter(series.items()))
    numbers = Counter(members[0].number for members in series.values())
    return files[0].number if files[0].number and numbers[files[0].number] == 1 else uid


def _kinds(files: Sequence[DicomFile]) -> str:
    """Count the files by modality; those of scanners by the name of their kind, as only some kinds are read."""
    named = [
        f"{file.modality} ({UID(file.kind).name})" if file.modality in _SCANNERS and not file.slices else file.modality
        for file in files
    ]
    return ", ".join(f"{count} {kind} files" for kind, count in Counter(named).items())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
