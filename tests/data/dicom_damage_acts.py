"""Acts that damage DICOM files."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from dicom_scans import write_segmentation, write_series
from pydicom import dcmread
from pydicom.uid import UID
from scans import ball_and_box, write_nifti

from tests.data.damage_acts import Act
from tests.data.damage_sources import AXIAL, SHAPE
from tests.data.geometries import GEOMETRIES

SLICE = "patient_0/3.dcm"
_NOT_DECODED = UID("1.2.840.10008.1.2.4.100")  # MPEG2


def slice_says(**elements: Any) -> Act:
    """Elements of one DICOM file say this, or are not there where None."""

    def act(root: Path) -> None:
        plane = dcmread(root / SLICE)
        for keyword, value in elements.items():
            if value is None:
                delattr(plane, keyword)
            else:
                setattr(plane, keyword, value)
        plane.save_as(root / SLICE)

    return act


def series_says(**elements: Any) -> Act:
    """Elements of every file of the first patient say this."""

    def act(root: Path) -> None:
        for file in (root / "patient_0").iterdir():
            plane = dcmread(file)
            for keyword, value in elements.items():
                setattr(plane, keyword, value)
            plane.save_as(file)

    return act


def series_again(name: str, shape: tuple[int, int, int], **elements: Any) -> Act:
    """Further slices lie in the folder of the first patient."""
    array = np.zeros(shape, np.int16)
    return lambda root: write_series(root / "patient_0" / name, array, AXIAL, names="other{}.dcm".format, **elements)


def compressed_as_nothing_known(root: Path) -> None:
    plane = dcmread(root / SLICE)
    plane.file_meta.TransferSyntaxUID = _NOT_DECODED
    plane.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\0\0\0\0"
    plane["PixelData"].is_undefined_length = True
    plane.save_as(root / SLICE)


def outlines_alone(root: Path) -> None:
    """Of the series nothing but its outlines (RT STRUCT) was exported."""
    shutil.rmtree(root / "patient_0")
    write_segmentation(root / "patient_0" / "outlines.dcm")


def tilted(root: Path) -> None:
    image, label = ball_and_box(SHAPE, 0)
    shutil.rmtree(root / "patient_0")
    write_series(root / "patient_0", image.astype(np.int16), GEOMETRIES["sheared"])
    write_nifti(root / "labels" / "patient_0.nii.gz", label, GEOMETRIES["sheared"])


def renamed_folder(root: Path) -> None:
    """Rename the first patient's folder as people write names."""
    name = "Müller, Zoë #3 腹部"
    (root / "patient_0").rename(root / name)
    table = root / "cases.csv"
    table.write_text(table.read_text().replace("patient_0,patient_0,", f'patient_0,"{name}",'), encoding="utf-8")
