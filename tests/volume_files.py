"""One volume as a file of every format, written by other libraries than ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from dicom_scans import write_enhanced, write_series
from numpy.typing import NDArray

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
Write = Callable[[Path, NDArray[Any], NDArray[np.float64]], Path]


def write_itk(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> Path:
    itk = pytest.importorskip("SimpleITK")
    image, lps = itk.GetImageFromArray(np.ascontiguousarray(array.T)), LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    itk.WriteImage(image, str(path))
    return path


def write_nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> Path:
    kind = nibabel.Nifti1Pair if path.suffix == ".hdr" else nibabel.Nifti1Image
    nibabel.save(kind(array, affine), path)
    return path


def write_folder(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> Path:
    return write_series(path, array.astype(np.int16), affine)


def write_one_file(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> Path:
    return write_enhanced(path, array.astype(np.int16), affine)


WRITERS: dict[str, Write] = {
    **dict.fromkeys(("scan.nii", "scan.nii.gz", "scan.hdr"), write_nifti),
    **dict.fromkeys(("scan.nrrd", "scan.nhdr", "scan.mha", "scan.mhd"), write_itk),
    "scan": write_folder,
    "scan.dcm": write_one_file,
}
