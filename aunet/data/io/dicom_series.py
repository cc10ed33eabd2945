"""A scan in a folder of DICOM files: the choice of its series, and its voxels.

Slices are decoded one at a time into the volume, so memory is bounded by the volume, not by the files.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.data.io.dicom_files import files_of_scan, is_dicom, series_of_path
from aunet.data.io.dicom_geometry import gantry_tilt, order_slices
from aunet.data.io.dicom_slices import DicomFile, Slice, read_dicom_file, read_pixels
from aunet.errors import UserError

_logger = logging.getLogger(__name__)

_VISIBLE_TILT = 0.1  # degrees


def read_series(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read the voxels (columns, rows, slices), in HU for CT, and their affine (4, 4) to RAS+ coordinates in mm.

    ``path`` is a folder, or ``FOLDER#NUMBER`` or ``FOLDER#UID`` of one series in it. A voxel keeps its number even if
    white means the lowest value (MONOCHROME1), which concerns display, not measurement.

    Raises:
        UserError: if the folder has no series or several, a file is damaged, or the slices do not form a volume.
    """
    slices, affine = _slices_and_affine(path, is_telling=True)
    # The first slice is decoded before memory is allocated: a damaged header may claim any size.
    first = read_pixels(slices[0])
    array = np.empty((len(slices), *first.shape), dtype=np.float32)
    array[0] = first
    for index, plane in enumerate(slices[1:], start=1):
        array[index] = read_pixels(plane)
    return array.transpose(2, 1, 0), affine


def read_series_grid(path: Path) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Read the shape and affine of ``read_series`` from the headers alone; errors as there, but without warnings."""
    slices, affine = _slices_and_affine(path, is_telling=False)
    rows, columns = slices[0].shape
    return (columns, rows, len(slices)), affine


def _slices_and_affine(path: Path, *, is_telling: bool) -> tuple[list[Slice], NDArray[np.float64]]:
    files, left_out = _files_of_series(path)
    ordered, affine = order_slices([plane for file in files for plane in file.slices], path)
    if is_telling:
        for others in left_out:
            _logger.warning("%s: left out as derived from another series: %s", path, _told(others))
        _tell_oddities(files[0], affine, path)
    return ordered, affine


def _tell_oddities(file: DicomFile, affine: NDArray[np.float64], path: Path) -> None:
    tilt = gantry_tilt(affine)
    if tilt > _VISIBLE_TILT:
        _logger.warning("%s: gantry tilt of %.1f degrees; each slice is kept where it lies, sheared.", path, tilt)
    elif abs(file.tilt) > _VISIBLE_TILT and _is_upright(file.slices[0]):
        _logger.warning(
            "%s: GantryDetectorTilt is %g degrees, but the positions of the slices show no tilt; the positions hold.",
            path,
            file.tilt,
        )
    if file.is_white_lowest:
        _logger.warning("%s: white stands for the lowest value (MONOCHROME1); the numbers stay as they are.", path)


def _files_of_series(path: Path) -> tuple[list[DicomFile], list[list[DicomFile]]]:
    """Return the files of the requested series, and the series that were left out as derived from it."""
    series, derived = _series_in(path), list[list[DicomFile]]()
    _, wanted = series_of_path(path)
    if wanted is not None:
        found = {uid: files for uid, files in series.items() if wanted in (uid, files[0].number)}
    else:
        found, derived = _originals(series)
    if len(found) != 1:
        matching = "no series" if not found else f"{len(found)} series"
        asked = "" if wanted is None else f" {wanted}"
        listed = "".join(f"\n  {_told(files)}" for files in (found or series).values())
        raise UserError(
            f"{path}: {matching}{asked} of slices where one must be chosen. Name one by its number or UID behind #,"
            f" as in {series_of_path(path)[0]}#{_example(found or series)}:{listed}"
        )
    return next(iter(found.values())), derived


def _series_in(path: Path) -> Mapping[str, list[DicomFile]]:
    """Return every series of slices below the folder, the one with the most files first."""
    paths = files_of_scan(path)
    dicom = [read_dicom_file(file) for file in paths if is_dicom(file)]
    if len(dicom) < len(paths):
        _logger.info("%s: %d files are not DICOM and are left out.", path, len(paths) - len(dicom))
    if not dicom:
        raise UserError(f"{path}: no DICOM file in this folder; give the folder of a series, or a NIfTI file.")
    scouts = [file for file in dicom if "LOCALIZER" in file.image_type]
    planes = [file for file in dicom if file.slices and file not in scouts]
    if not planes:
        raise UserError(f"{path}: {_kinds(dicom)}, but no slices of a volume; give the folder of a CT or MR series.")
    others = [file for file in dicom if not file.slices]
    for files, reason in ((scouts, "localizers"), (others, "no slices of a volume")):
        if files:
            _logger.info("%s: %s are left out: %s.", path, _kinds(files), reason)
    uids = Counter(file.series for file in planes)
    return {uid: [file for file in planes if file.series == uid] for uid, _ in uids.most_common()}


def _originals(
    series: Mapping[str, list[DicomFile]],
) -> tuple[Mapping[str, list[DicomFile]], list[list[DicomFile]]]:
    """Return the series that were not computed from another, if there are any, and those left out."""
    derived = {uid: files for uid, files in series.items() if all("DERIVED" in file.image_type for file in files)}
    if not derived or len(derived) == len(series):
        return series, []
    return {uid: files for uid, files in series.items() if uid not in derived}, list(derived.values())


def _told(files: Sequence[DicomFile]) -> str:
    number = sum(len(file.slices) for file in files)
    first = files[0]
    return f"#{first.number or '-'} '{first.description}', {first.modality}, {number} slices, UID {first.series}"


def _example(series: Mapping[str, list[DicomFile]]) -> str:
    uid, files = next(iter(series.items()))
    numbers = Counter(members[0].number for members in series.values())
    return files[0].number if files[0].number and numbers[files[0].number] == 1 else uid


def _kinds(files: Sequence[DicomFile]) -> str:
    return ", ".join(f"{count} {kind} files" for kind, count in Counter(file.modality for file in files).items())


def _is_upright(plane: Slice) -> bool:
    """Return whether the slice lies straight across the patient, as if no gantry had been tilted."""
    return abs(np.cross(plane.along_row, plane.along_column)[2]) > 0.9999
