"""The DICOM object of a segmentation, built by highdicom, an optional package, from a label map and its slices."""

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import highdicom
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.uid import ExplicitVRLittleEndian

from aunet.classes import Labels
from aunet.data.io.dicom_slices import Slice, read_dataset
from aunet.errors import UserError
from aunet.export.segment_codes import SegmentCode

_PRODUCT = "aunet"
# DICOM demands them in a segmentation too, if only without a value.
_POSSIBLY_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
# Added to the number of the scan's series, so that archives list the segmentation behind the study's own series.
_SERIES_OFFSET = 1000
_LONGEST_LABEL = 64  # of a DICOM LO
_UNICODE = "ISO_IR 192"


def build_segmentation(
    label: NDArray[np.uint8],
    labels: Labels,
    codes: Sequence[SegmentCode],
    slices: Sequence[Slice],
    pitch: float,
    scan: Path,
) -> Dataset:
    """Return the object of a label map (columns, rows, slices) on the grid of ``slices``, which are ``pitch`` mm apart.

    Raises:
        UserError: if the slices are of several series, or their headers lack what a segmentation refers to.
    """
    sources = _read_sources(slices, pitch, scan)
    order = np.argsort([plane.frame for plane in slices]) if len(sources) < len(slices) else np.arange(len(slices))
    planes = label.transpose(2, 1, 0)[order]
    if not label.any():
        # An object needs a frame; without this one, highdicom would store all empty frames of all segments.
        planes, sources = planes[:1], _cut_to_one_frame(sources)
    if labels.regions:  # segments that overlap need a plane of their own each
        planes = np.stack([labels.mask(planes, number) for number, _ in labels.foreground], axis=-1).astype(np.uint8)
    with warnings.catch_warnings():
        # Names of one word, which de-identified scans have, and other oddities of the source, which are kept.
        warnings.simplefilter("ignore")
        try:
            segmentation = highdicom.seg.Segmentation(
                source_images=sources,
                pixel_array=planes,
                segmentation_type=SegmentationTypeValues.BINARY,
                segment_descriptions=_describe(labels, codes),
                series_instance_uid=highdicom.UID(),
                series_number=int(sources[0].get("SeriesNumber") or 0) + _SERIES_OFFSET,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer=_PRODUCT,
                manufacturer_model_name=_PRODUCT,
                software_versions=version(_PRODUCT),
                device_serial_number="0",
                content_description=f"Automatic segmentation by {_PRODUCT} {version(_PRODUCT)}",
                content_label="SEGMENTATION",
                series_description=f"Segmentation by {_PRODUCT}",
                transfer_syntax_uid=ExplicitVRLittleEndian,
            )
        except (AttributeError, KeyError, ValueError) as error:
            raise UserError(
                f"{scan}: no DICOM SEG can refer to this series ({error}). Export the series again, or write another"
                " format, such as .nii.gz."
            ) from error
    if not all(name.isascii() for name in labels.names):
        segmentation.SpecificCharacterSet = _UNICODE  # that of the scan need not have all letters of the classes
    return segmentation


def _read_sources(slices: Sequence[Slice], pitch: float, scan: Path) -> list[Dataset]:
    """Read the headers of the files of ``slices``, made alike where they differ by rounding."""
    files = list(dict.fromkeys(plane.file for plane in slices))
    if 1 < len(files) < len(slices):
        raise UserError(
            f"{scan}: {len(files)} files with several slices each; a DICOM SEG refers to one such file, or to files of"
            " one slice. Export the series as one file, or write another format, such as .nii.gz."
        )
    headers = [read_dataset(file, stop_before_pixels=True) for file in files]
    _check_references(headers, scan)
    for header in headers:
        for name in _POSSIBLY_EMPTY:
            if name not in header:
                setattr(header, name, None)
        if "SpecificCharacterSet" in header and not header.SpecificCharacterSet:
            del header.SpecificCharacterSet  # empty means the default letters, as does its absence
        _set_geometry(header, slices[0], pitch)
    return headers


def _check_references(headers: Sequence[Dataset], scan: Path) -> None:
    for name in _NEEDED:
        if lacking := [header for header in headers if not header.get(name)]:
            raise UserError(
                f"{scan}: {len(lacking)} of {len(headers)} files have no {name}, to which a DICOM SEG refers."
                " Export the series again, or write another format, such as .nii.gz."
            )
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        if len(found := {str(header.get(name)) for header in headers}) > 1:
            raise UserError(
                f"{scan}: its files have {len(found)} different {name}; a DICOM SEG refers to one series. Export the"
                " series again, or write another format, such as .nii.gz."
            )


def _set_geometry(header: Dataset, plane: Slice, pitch: float) -> None:
    """Give ``header`` the orientation of ``plane`` and the distance of slices along their normal (mm).

    The distance in the header may be that along a tilted stack, or missing.
    """
    place = highdicom.PlaneOrientationSequence("PATIENT", [*plane.along_row.tolist(), *plane.along_column.tolist()])
    thickness = float(header.get("SliceThickness") or plane.pitch or pitch)
    measures = highdicom.PixelMeasuresSequence(plane.spacing[::-1], thickness, pitch)
    if shared := header.get("SharedFunctionalGroupsSequence"):
        shared[0].PlaneOrientationSequence, shared[0].PixelMeasuresSequence = place, measures
    else:
        header.update(place[0])
        header.update(measures[0])


def _cut_to_one_frame(sources: list[Dataset]) -> list[Dataset]:
    first = sources[0]
    if "PerFrameFunctionalGroupsSequence" in first:
        first.PerFrameFunctionalGroupsSequence = first.PerFrameFunctionalGroupsSequence[:1]
        first.NumberOfFrames = 1
    return [first]


def _describe(labels: Labels, codes: Sequence[SegmentCode]) -> list[SegmentDescription]:
    """Return the description of each class; its number is the value of the class in label maps."""
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=_PRODUCT, family=dicom_codes.cid7162.ArtificialIntelligence, version=version(_PRODUCT)
    )
    descriptions: list[SegmentDescription] = []
    for (number, name), code in zip(labels.foreground, codes, strict=True):
        description = SegmentDescription(
            segment_number=number,
            segment_label=name.replace("\\", "/")[:_LONGEST_LABEL],  # a backslash separates values
            segmented_property_category=code.category,
            segmented_property_type=code.kind,
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            display_color=CIELabColor.from_rgb(*(255 * part for part in labels.color(number))),
        )
        if code.side:
            side = CodedConcept.from_code(code.side)
            description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [side]
        descriptions.append(description)
    return descriptions
