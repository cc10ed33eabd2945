"""DICOM series as scanners write them, made from an array and its place; each fault is an edit of a file's header."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

CT, ENHANCED_CT, SEGMENTATION = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "2.1", "66.4"))
SERIES = "1.2.826.0.1.3680043.8.498.1"
Edit = Callable[[Dataset, int], None]


def write_series(
    folder: Path,
    array: NDArray[np.int16],
    affine: NDArray[np.float64],
    *,
    edit: Edit | None = None,
    names: Callable[[int], str] = "IM{:04d}.dcm".format,
    **elements: object,
) -> Path:
    """One file a slice of ``array`` (columns, rows, slices); ``affine`` takes voxels to RAS+ mm. Slices are shuffled.

    Args:
        folder: where to; made if need be.
        array: what is stored; RescaleSlope 1 and RescaleIntercept 0 unless ``elements`` say otherwise.
        affine: of the voxels.
        edit: changes the header of the slice of an index, before it is written.
        names: file name of the slice of an index.
        elements: further DICOM elements of every slice, by keyword.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(array.shape[2]):
        header = slice_header(array[:, :, index], affine, index, elements)
        if edit:
            edit(header, index)
        save(header, folder / names((index * 7) % array.shape[2] if array.shape[2] % 7 else index))
    return folder


def slice_header(
    plane: NDArray[np.int16], affine: NDArray[np.float64], index: int, elements: Mapping[str, object]
) -> Dataset:
    header = _header(CT, index, elements)
    position, orientation, spacing = _place(affine, index)
    header.ImagePositionPatient, header.ImageOrientationPatient, header.PixelSpacing = position, orientation, spacing
    header.SliceThickness = _text(float(np.linalg.norm(affine[:3, 2])))
    header.RescaleSlope, header.RescaleIntercept = elements.get("RescaleSlope", 1), elements.get("RescaleIntercept", 0)
    _set_pixels(header, plane.T)
    return header


def write_enhanced(path: Path, array: NDArray[np.int16], affine: NDArray[np.float64], **elements: object) -> Path:
    """Write the same slices as frames of one file, in reverse, with the geometry in functional groups."""
    header = _header(ENHANCED_CT, 0, elements)
    measures, orientation, scale, shared = Dataset(), Dataset(), Dataset(), Dataset()
    _, orientation.ImageOrientationPatient, measures.PixelSpacing = _place(affine, 0)
    measures.SliceThickness = _text(float(np.linalg.norm(affine[:3, 2])))
    scale.RescaleSlope, scale.RescaleIntercept = 1, 0
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    shared.PixelValueTransformationSequence = Sequence([scale])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    order = list(reversed(range(array.shape[2])))
    header.PerFrameFunctionalGroupsSequence = Sequence([_frame(affine, index) for index in order])
    header.NumberOfFrames = len(order)
    _set_pixels(header, array[:, :, order].T)
    save(header, path)
    return path


def write_segmentation(path: Path) -> Path:
    """Write a DICOM object that is not a scan."""
    header = _header(SEGMENTATION, 0, {"Modality": "SEG", "SeriesInstanceUID": SERIES + ".9"})
    save(header, path)
    return path


def save(header: Dataset, path: Path) -> None:
    """Write ``header`` with its pixels as a file."""
    file = FileDataset(str(path), header, file_meta=header.file_meta, preamble=b"\0" * 128)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)


def _header(sop_class: str, index: int, elements: Mapping[str, object]) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID = sop_class, f"{SERIES}.0.{index}"
    header.Modality, header.SeriesInstanceUID, header.SeriesNumber = "CT", SERIES, 2
    header.SeriesDescription, header.PatientID = "portal venous", "P1"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.InstanceNumber = 1
    for name, value in elements.items():
        setattr(header, name, value)
    return header


def _set_pixels(header: Dataset, pixels: NDArray[np.int16]) -> None:
    header.Rows, header.Columns = pixels.shape[-2:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, header.get("PhotometricInterpretation", "MONOCHROME2")
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    header.PixelData = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()


def _frame(affine: NDArray[np.float64], index: int) -> Dataset:
    place, frame = Dataset(), Dataset()
    place.ImagePositionPatient = _place(affine, index)[0]
    frame.PlanePositionSequence = Sequence([place])
    return frame


def _place(affine: NDArray[np.float64], index: int) -> tuple[list[str], list[str], list[str]]:
    """ImagePositionPatient, ImageOrientationPatient and PixelSpacing (rows, then columns) of a slice."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    position = lps[:3] @ np.array([0, 0, index, 1.0])
    along_row, along_column = (lps[:3, axis] / np.linalg.norm(lps[:3, axis]) for axis in (0, 1))
    spacing = [float(np.linalg.norm(lps[:3, axis])) for axis in (1, 0)]
    return _texts(position), _texts([*along_row, *along_column]), _texts(spacing)


def _texts(numbers: NDArray[np.float64] | list[float]) -> list[str]:
    return [_text(float(number)) for number in numbers]


def _text(number: float) -> str:
    """Format a number as a decimal string, which has at most 16 characters."""
    return f"{number:.8f}"[:16]
