"""The voxels of a scan in a folder of DICOM files.

Slices are decoded one at a time into the volume, so memory is bounded by the volume, not by the files.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.data.io.dicom_choice import choose_series
from aunet.data.io.dicom_geometry import gantry_tilt, order_slices
from aunet.data.io.dicom_slices import DicomFile, Slice, read_pixels
from aunet.errors import UserError
from aunet.messages import counted

_logger = logging.getLogger(__name__)

_VISIBLE_TILT = 0.1  # degrees
_OTHER_DISTANCE, _ROUNDING = 0.05, 0.101  # a share of the step, and mm


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
    slices, affine = read_series_slices(path)
    rows, columns = slices[0].shape
    return (columns, rows, len(slices)), affine


def read_series_slices(path: Path) -> tuple[list[Slice], NDArray[np.float64]]:
    """Read the headers of the slices of ``read_series`` in its order, and its affine; errors as there, no warnings."""
    return _slices_and_affine(path, is_telling=False)


def _slices_and_affine(path: Path, *, is_telling: bool) -> tuple[list[Slice], NDArray[np.float64]]:
    chosen = choose_series(path)
    _check_alike(chosen.files, path)
    ordered, affine = order_slices([plane for file in chosen.files for plane in file.slices], path)
    if is_telling:
        for remark in chosen.remarks:
            _logger.warning("%s: %s", path, remark)
        for note in chosen.notes:
            _logger.info("%s: %s", path, note)
        _tell_oddities(chosen.files[0], ordered, affine, path)
        _tell_contradictions(chosen.files, ordered, affine, path)
    return ordered, affine


def _check_alike(files: Sequence[DicomFile], path: Path) -> None:
    """Raise UserError if the files are not of one scan; the patients themselves are not named."""
    first = files[0]
    for what, is_alike in (
        ("patient (PatientID)", lambda file: file.patient == first.patient),
        ("modality", lambda file: file.modality == first.modality),
        ("PhotometricInterpretation", lambda file: file.is_white_lowest == first.is_white_lowest),
    ):
        if odd := next((file for file in files if not is_alike(file)), None):
            raise UserError(
                f"{path}: the slices of one volume must be alike, but {odd.path.name} has another {what} than"
                f" {first.path.name}. Keep the slices of one volume in the folder, or export the series again."
            )


def _tell_oddities(file: DicomFile, ordered: Sequence[Slice], affine: NDArray[np.float64], path: Path) -> None:
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
        _logger.warning("%s: white means the lowest value (MONOCHROME1); the numbers stay as they are.", path)
    scales = sorted({(plane.slope, plane.intercept) for plane in ordered})
    if len(scales) > 1 and file.modality == "CT":  # usual in PET and MR
        _logger.warning(
            "%s: its slices have %d scales (RescaleSlope, RescaleIntercept), such as %s and %s; each slice is read by"
            " its own.",
            *(path, len(scales), scales[0], scales[-1]),
        )


def _tell_contradictions(
    files: Sequence[DicomFile], ordered: Sequence[Slice], affine: NDArray[np.float64], path: Path
) -> None:
    """Log what contradicts the positions of the slices, which hold."""
    if (count := len({file.frame_of_reference for file in files})) > 1:
        _logger.warning(
            "%s: its slices name %d coordinate systems (FrameOfReferenceUID); their positions are taken as of one.",
            *(path, count),
        )
    if (acquired := max(file.told_slices for file in files)) > len(ordered):
        _logger.warning(
            "%s: %s, and the header counts %d (ImagesInAcquisition, NumberOfSlices). If slices were lost in copying,"
            " copy the series again.",
            *(path, counted(len(ordered), "slice"), acquired),
        )
    step, told = float(np.linalg.norm(affine[:3, 2])), ordered[0].told_distance
    if len(ordered) > 1 and told and abs(told - step) > max(_OTHER_DISTANCE * step, _ROUNDING):
        _logger.warning(
            "%s: its slices lie %.4g mm apart by their positions and %.4g by SpacingBetweenSlices; the positions hold.",
            *(path, step, told),
        )


def _is_upright(plane: Slice) -> bool:
    """Return whether the slice lies straight across the patient, as if no gantry had been tilted."""
    return abs(np.cross(plane.along_row, plane.along_column)[2]) > 0.9999
