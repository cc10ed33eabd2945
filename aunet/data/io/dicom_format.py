"""DICOM as a format: a folder with a series, a file with one or many slices, a segmentation as a label map."""

from pathlib import Path

from aunet.data.io.dicom_files import DICOM_SUFFIXES, begins_as_dicom, files_of_scan, is_dicom
from aunet.data.io.dicom_segmentation import (
    OUTLINES,
    SEGMENTATIONS,
    read_segmentation,
    read_segmentation_grid,
)
from aunet.data.io.dicom_series import read_series, read_series_grid
from aunet.data.io.dicom_slices import read_dicom_file
from aunet.data.io.format import Format, StoredVoxels
from aunet.data.io.grid import Affine, Shape
from aunet.errors import UserError


def _read_grid(path: Path) -> tuple[Shape, Affine]:
    if segmentation := _segmentation_in(path):
        return read_segmentation_grid(segmentation)
    return read_series_grid(path)


def _read_image(path: Path) -> StoredVoxels:
    array, affine = read_series(path)
    return StoredVoxels((array,), affine)


def _read_label(path: Path) -> StoredVoxels:
    """Read the segmentation of a folder or file, else its slices as a label map, which some programs write."""
    if segmentation := _segmentation_in(path):
        array, affine = read_segmentation(segmentation)
        return StoredVoxels((array,), affine, is_sparse=True)
    return _read_image(path)


def _segmentation_in(path: Path) -> Path | None:
    """Return the only segmentation of a scan without slices; raise UserError for several, and for outlines alone."""
    found, has_outlines = list[Path](), False
    for name in files_of_scan(path):
        file = read_dicom_file(name) if is_dicom(name) else None
        if file and file.slices:
            return None
        if file and file.kind in SEGMENTATIONS:
            found.append(name)
        has_outlines = has_outlines or bool(file and file.kind == OUTLINES)
    if len(found) > 1:
        raise UserError(
            f"{path}: {len(found)} segmentations, {found[0].name} and {found[1].name} for two; give the path of one."
        )
    if has_outlines and not found:
        raise UserError(
            f"{path}: outlines (RTSTRUCT), but no slices of a volume; give a label map. Convert the outlines into one"
            " with 3D Slicer (export as labelmap) or dcmrtstruct2nii."
        )
    return found[0] if found else None


DICOM = Format(
    name="DICOM",
    suffixes=DICOM_SUFFIXES,
    recognises=begins_as_dicom,
    read_grid=_read_grid,
    read_image=_read_image,
    read_label=_read_label,
    files=files_of_scan,
)
