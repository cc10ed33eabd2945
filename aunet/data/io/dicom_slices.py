"""Slices of a DICOM file: their headers, read without pixels, and their pixels, slice by slice."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom import config as pydicom_config
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from aunet.data.io.grid import Voxels
from aunet.errors import MissingPackageError, UserError

# Scans break the rules of value types in many harmless ways; pydicom would warn of each in every file.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

# CT, MR and PET, each with one slice per file, with many frames per file, and converted from the first to the second.
_IMAGES = "1.2.840.10008.5.1.4.1.1."
_IMAGE_CLASSES = {_IMAGES + end for end in ("2", "4", "128", "2.1", "4.1", "130", "2.2", "4.4", "128.1")}
_GEOMETRY = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
}
_TAGS = [
    *("SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "ImageType", "PatientID"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "GantryDetectorTilt"),
    *("RescaleType", "Units", "FrameOfReferenceUID", "StudyInstanceUID", "BitsStored"),
    *("ImagesInAcquisition", "NumberOfSlices"),
    *("ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *_GEOMETRY),
]
_READ_ERRORS = (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError)
HEADER_ERRORS = (*_READ_ERRORS, InvalidDicomError, BytesLengthException, struct.error)


@dataclass(frozen=True)
class Slice:
    """One plane of voxels: where it is stored, and where it lies in the patient in DICOM's LPS+ coordinates (mm).

    ``along_row`` and ``along_column`` are unit vectors towards the next column and the next row; ``spacing`` is the
    distance of neighbouring columns, then of neighbouring rows; ``pitch`` is that of slices, 0 if the header lacks it;
    ``told_distance`` is it only if the header has SpacingBetweenSlices, which positions may contradict.
    The value of a voxel, in HU for CT, is ``slope`` times the stored number, plus ``intercept``; ``has_scale`` says
    whether the header has them. ``unit`` is that of the values, such as HU or BQML, if the header names it.
    """

    file: Path
    frame: int
    shape: tuple[int, int]
    position: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    spacing: tuple[float, float]
    pitch: float
    slope: float
    intercept: float
    has_scale: bool = True
    unit: str = ""
    told_distance: float = 0.0


@dataclass(frozen=True)
class DicomFile:
    """A file of a series; it has no slices if it is not an image of a volume, such as a segmentation or a report.

    ``kind`` is the SOP class UID. ``frame_of_reference`` names the coordinate system of the patient. ``told_slices`` is
    how many slices were acquired by the header (ImagesInAcquisition, or NumberOfSlices in PET), 0 if it lacks both.
    """

    path: Path
    series: str
    number: str
    description: str
    modality: str
    patient: str
    image_type: tuple[str, ...]
    tilt: float
    is_white_lowest: bool
    slices: tuple[Slice, ...]
    kind: str = ""
    study: str = ""
    frame_of_reference: str = ""
    told_slices: int = 0


def read_dicom_file(path: Path) -> DicomFile:
    """Read the header of a DICOM file.

    Raises UserError if it is damaged, or if it is an image of a volume that has colours or lacks its position.
    """
    try:
        header = read_dataset(path, stop_before_pixels=True, specific_tags=_TAGS)
        return _described(header, path)
    except UserError:
        raise
    except HEADER_ERRORS as error:
        is_text = "could not convert string" in str(error)
        remedy = "export it again, with points in numbers" if is_text else "it may be truncated: copy it again"
        raise UserError(f"{path}: not a readable DICOM file ({error}); {remedy}.") from error


def read_pixels(plane: Slice) -> NDArray[np.float32]:
    """Read a slice (rows, columns), in HU for CT; raise UserError if the file is damaged or cannot be decompressed."""
    try:
        stored: Voxels = _decoded(plane)
    except (*HEADER_ERRORS, RuntimeError) as error:
        raise _unreadable(plane.file, error) from error
    if stored.shape != plane.shape:
        raise UserError(f"{plane.file}: {stored.shape} pixels where its header says {plane.shape}; copy it again.")
    return (stored * plane.slope + plane.intercept).astype(np.float32)


def read_dataset(path: Path, **options: Any) -> Dataset:
    """Read a file with or without preamble, its transfer syntax included; errors of pydicom pass through.

    ``options`` are those of ``pydicom.dcmread``. A file that names no transfer syntax has the one it was read with.
    """
    with _SizedFile(path) as file:
        header = pydicom.dcmread(file, force=not _has_preamble(path), **options)
    if not header.file_meta.get("TransferSyntaxUID"):
        if not header.get("Rows") and not header.get("SOPClassUID"):
            raise EOFError("it ends before it says how it is written")
        is_implicit, is_little = header.original_encoding
        explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    return header


class _SizedFile(io.BufferedReader):
    """A file of which nobody reads more bytes than it has, as Python would reserve what a damaged length claims."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._num_bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, all for None and -1."""
        return super().read(size if size is None else min(size, self._num_bytes))


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _decoded(plane: Slice) -> Voxels:
    """Decode one frame straight from the file; a file that pydicom cannot decode so is read whole first."""
    if _has_preamble(plane.file):
        meta = read_file_meta_info(plane.file)
        if meta.get("TransferSyntaxUID") not in (None, DeflatedExplicitVRLittleEndian):
            with _SizedFile(plane.file) as file:
                return pixel_array(file, index=plane.frame)
    return pixel_array(read_dataset(plane.file), index=plane.frame)


def _described(header: Dataset, path: Path) -> DicomFile:
    return DicomFile(
        path=path,
        series=str(header.get("SeriesInstanceUID") or "unknown"),
        number=str(header.get("SeriesNumber") or ""),
        description=str(header.get("SeriesDescription") or ""),
        modality=str(header.get("Modality") or "unknown"),
        patient=str(header.get("PatientID") or ""),
        image_type=tuple(str(word).upper() for word in header.get("ImageType") or ()),
        tilt=_number(header.get("GantryDetectorTilt"), 0.0),
        is_white_lowest=header.get("PhotometricInterpretation") == "MONOCHROME1",
        slices=_slices(header, path) if sop_class(header) in _IMAGE_CLASSES else (),
        kind=sop_class(header),
        study=str(header.get("StudyInstanceUID") or ""),
        frame_of_reference=str(header.get("FrameOfReferenceUID") or ""),
        told_slices=_told_slices(header),
    )


def _told_slices(header: Dataset) -> int:
    """Return how many slices were acquired; 0 if the header does not say or not in a number, which spoils no scan."""
    try:
        return int(header.get("ImagesInAcquisition") or header.get("NumberOfSlices") or 0)
    except (ValueError, TypeError, OverflowError):
        return 0


def sop_class(header: Dataset) -> str:
    """Return the kind of object, read from the very beginning of the file, so that a truncated file still has it."""
    return str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")


def _slices(header: Dataset, path: Path) -> tuple[Slice, ...]:
    if header.get("ModalityLUTSequence"):
        raise UserError(f"{path}: its values follow a table (ModalityLUTSequence), not a scale; convert it to NIfTI.")
    if header.get("SamplesPerPixel", 1) != 1 or not str(header.get("PhotometricInterpretation")).startswith("MONO"):
        colours = header.get("PhotometricInterpretation")
        raise UserError(f"{path}: a slice of grey values is needed, this file has {colours}; it may be truncated.")
    frames = header.get("PerFrameFunctionalGroupsSequence") or [header]
    if int(header.get("NumberOfFrames") or 1) != len(frames):
        raise UserError(
            f"{path}: {header.NumberOfFrames} frames, but positions of {len(frames)}; convert the file to NIfTI."
        )
    shared = header.get("SharedFunctionalGroupsSequence") or []
    return tuple(_slice(index, [frame, *shared, header], path) for index, frame in enumerate(frames))


def _slice(frame: int, levels: Sequence[Dataset], path: Path) -> Slice:
    """Build a slice; ``levels`` are the places where its geometry may be found, the frame's own first."""
    position = _numbers("ImagePositionPatient", 3, levels, path)
    orientation = _numbers("ImageOrientationPatient", 6, levels, path)
    row_distance, column_distance = _numbers("PixelSpacing", 2, levels, path).tolist()
    pitch = _value("SpacingBetweenSlices", levels) or _value("SliceThickness", levels)
    slope, intercept = _number(_value("RescaleSlope", levels), 1.0), _number(_value("RescaleIntercept", levels), 0.0)
    has_scale = _value("RescaleIntercept", levels) is not None
    unit = str(_value("RescaleType", levels) or levels[-1].get("Units") or "")
    header = levels[-1]
    if not slope or min(row_distance, column_distance) <= 0:
        raise UserError(
            f"{path}: RescaleSlope is {slope}, PixelSpacing {[row_distance, column_distance]}; none may be 0 or less."
            " Convert the scan again from its source."
        )
    return Slice(
        file=path,
        frame=frame,
        shape=(int(header.Rows), int(header.Columns)),
        position=position,
        along_row=orientation[:3],
        along_column=orientation[3:],
        spacing=(column_distance, row_distance),
        pitch=abs(_number(pitch, 0.0)),
        slope=slope,
        intercept=intercept,
        has_scale=has_scale,
        unit="" if unit == "US" else unit,  # "unspecified"
        told_distance=abs(_number(_value("SpacingBetweenSlices", levels), 0.0)),
    )


def _value(name: str, levels: Sequence[Dataset]) -> Any:
    """Return the value of the first level that has it, directly or in the sequence that files of many frames use."""
    for level in levels:
        groups = level.get(_GEOMETRY[name]) or []
        for holder in (*groups[:1], level):
            if holder.get(name) not in (None, ""):
                return holder.get(name)
    return None


def _numbers(name: str, count: int, levels: Sequence[Dataset], path: Path) -> NDArray[np.float64]:
    value = _value(name, levels)
    numbers = np.array([] if value is None else value, dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise UserError(
            f"{path}: {name} is {value}; without these {count} numbers a slice has no place in a volume."
            " The file may be truncated: copy it again."
        )
    return numbers


def _number(value: str | float | None, otherwise: float) -> float:
    number = otherwise if value in (None, "") else float(value)
    if not np.isfinite(number):
        raise ValueError(f"{value} where a number is needed")
    return number


def _unreadable(path: Path, error: Exception) -> UserError:
    header = read_dataset(path, stop_before_pixels=True, specific_tags=["BitsStored", "Rows", "SOPClassUID"])
    syntax = header.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return UserError(f"{path}: compressed as {syntax.name}, which cannot be read; convert the series to NIfTI.")
    # Pillow, which pydicom uses for it, decodes only 8 bits.
    needs_more = syntax == JPEGExtended12Bit and int(header.get("BitsStored") or 8) > 8
    if not decoder.is_available or (needs_more and find_spec("gdcm") is None):
        need = f"compressed as {syntax.name}; install what decompresses it: pip install 'aunet[dicom]'."
        return MissingPackageError(str(path), need)
    return UserError(f"{path}: its pixels cannot be read ({error}); the file may be truncated: copy it again.")
