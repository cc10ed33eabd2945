"""Images and label maps as arrays with a place in the patient: NIfTI, folders of DICOM, PNG and TIFF."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from aunet.atomic_files import replaced_atomically
from aunet.data.dicom_files import is_folder_of_files
from aunet.data.dicom_series import read_series, read_series_grid
from aunet.data.picture_files import (
    PICTURE_AFFINE,
    is_picture,
    picture_shape,
    read_picture,
    read_picture_label,
    write_picture_label,
)
from aunet.errors import UserError

_logger = logging.getLogger(__name__)

NIFTI_SUFFIXES = (".nii.gz", ".nii")
# Of the smallest voxel side: writers round affines to float32 or to six digits, which moves a corner far less.
_GRID_TOLERANCE = 0.01
# What nibabel and the decompressor raise for a file that is no NIfTI, is cut short or may not be read.
_READ_ERRORS = (OSError, EOFError, zlib.error, ValueError, ImageFileError, HeaderDataError)
_SCANNER_CODE = 1
_LARGEST_LABEL = 2**31


@dataclass(frozen=True)
class Volume:
    """Voxels (H, W, D) in stored axis order; ``affine`` (4, 4) takes voxel indices to RAS+ coordinates in mm."""

    array: NDArray[Any]
    affine: NDArray[np.float64]
    path: Path | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each stored axis."""
        height, width, depth = self.array.shape
        return height, width, depth

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between the centres of neighbouring voxels along each stored axis."""
        first, second, third = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return first, second, third

    @property
    def name(self) -> str:
        """The file or folder it was read from, for messages."""
        return str(self.path) if self.path else "volume in memory"


def read_grid(path: Path) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape along the three spatial axes and affine, from the header alone; errors as ``read_volume``."""
    if is_folder_of_files(path):
        return read_series_grid(path)
    if is_picture(path):
        return picture_shape(path), PICTURE_AFFINE
    shape, affine = _read(path, lambda image: np.array(image.shape))
    if len(shape) < 3:
        raise UserError(f"{path}: shape {tuple(shape.tolist())}; a volume of three axes is needed.")
    height, width, depth = shape[:3].tolist()
    return (height, width, depth), affine


def read_volume(path: Path) -> Volume:
    """Read an image of one channel as float32 with its stored intensity scale applied; see ``read_channels``.

    A trailing axis of length 1 is dropped. Raises UserError for a file that is missing, no NIfTI, truncated, not 3D,
    without a usable affine or with NaN, for a folder without one whole series of evenly spaced slices, and for a
    picture as ``picture_files.read_picture``.
    """
    channels = read_channels(path)
    if len(channels) > 1:
        raise UserError(f"{path}: {len(channels)} channels; a volume of three axes is needed: one file per channel.")
    return channels[0]


def read_channels(path: Path) -> list[Volume]:
    """Read the channels of an image, each a volume of float32.

    A 3D NIfTI file, a folder with a DICOM series and a grey picture have one, a picture in colour three, a 4D file one
    per index of its last axis.
    """
    if is_folder_of_files(path):
        return [Volume(*read_series(path), path)]
    if is_picture(path):
        channels = [_finite(channel.astype(np.float32), path) for channel in read_picture(path)]
        return [Volume(channel, PICTURE_AFFINE, path) for channel in channels]
    array, affine = _read(path, _scaled_voxels)
    channels = np.moveaxis(array, 3, 0) if _finite(array, path).ndim == 4 else [array]
    return [Volume(_three_axes(channel, path), affine, path) for channel in channels]


def read_label(path: Path) -> Volume:
    """Read a label map, NIfTI or a picture, as integers; errors as ``read_volume``, and where it holds others."""
    if is_picture(path):
        return Volume(_as_integers(read_picture_label(path), path), PICTURE_AFFINE, path)
    array, affine = _read(path, lambda image: np.asanyarray(image.dataobj))
    return Volume(_as_integers(_three_axes(array, path), path), affine, path)


def write_label(path: Path, array: NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    """Write a label map (H, W, D) as NIfTI, or of a picture as PNG, in one step: the whole file appears or none."""
    if is_picture(path):
        write_picture_label(path, array, affine)
        return
    if not path.name.endswith(NIFTI_SUFFIXES):
        raise UserError(
            f"{path}: a label map is written as NIfTI, a picture's as PNG; end its name in .nii.gz or .nii."
        )
    assert array.ndim == 3, f"label map of shape {array.shape}"
    assert array.dtype == np.uint8, f"label map of type {array.dtype}"
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.header["cal_max"] = array.max(initial=0)
    _set_both_transforms(image, affine)
    with replaced_atomically(path) as temporary:
        image.to_filename(temporary)


def is_image(path: Path) -> bool:
    """Whether the name says NIfTI, PNG or TIFF; hidden files are none."""
    return is_picture(path) or (path.name.endswith(NIFTI_SUFFIXES) and not path.name.startswith("."))


def label_suffix(image: Path) -> str:
    """How the name of a label map of ``image`` ends: of a picture in .png, of a scan in .nii.gz."""
    return ".png" if is_picture(image) else ".nii.gz"


def stem(path: Path) -> str:
    """File name without its suffix: ``scan.nii.gz`` -> ``scan``."""
    suffix = next((suffix for suffix in NIFTI_SUFFIXES if path.name.endswith(suffix)), path.suffix)
    return path.name.removesuffix(suffix)


def check_same_grid(image: Volume, label: Volume, case_id: str) -> None:
    """Raise UserError unless both have one shape and their corners lie within 1 % of a voxel of each other."""
    if image.shape != label.shape:
        raise UserError(
            f"case {case_id}: {image.name} has shape {image.shape}, {label.name} has {label.shape}; "
            "both must lie on one voxel grid. Resample one onto the other."
        )
    distance = _largest_corner_distance(image, label)
    if distance > _GRID_TOLERANCE * min(image.spacing):
        raise UserError(
            f"case {case_id}: {image.name} and {label.name} have affines that place the same voxel up to "
            f"{distance:.3g} mm apart; both must lie on one voxel grid. Copy the image's affine if the label fits it."
        )


def _scaled_voxels(image: Any) -> NDArray[np.float32]:
    return image.get_fdata(dtype=np.float32, caching="unchanged")


def _read(path: Path, voxels: Callable[[Any], NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    if not path.is_file():
        fault = "a folder, not a file" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {fault}; give the path of a NIfTI file (.nii.gz or .nii).")
    try:
        image: Any = nibabel.load(path)
        array = voxels(image)
    except _READ_ERRORS as error:
        raise UserError(f"{path}: not a readable NIfTI file ({error}); it may be truncated: copy it again.") from error
    _warn_without_transform(image, path)
    return array, _usable_affine(image.affine, path)


def _finite(array: NDArray[Any], path: Path) -> NDArray[Any]:
    if not np.isfinite(array).all():
        raise UserError(f"{path}: the image holds NaN or infinite voxels; replace them by numbers.")
    return array


def _three_axes(array: NDArray[Any], path: Path) -> NDArray[Any]:
    squeezed = array.reshape(array.shape[:3]) if array.shape[3:] and set(array.shape[3:]) == {1} else array
    if squeezed.ndim != 3 or 0 in squeezed.shape:
        raise UserError(f"{path}: shape {array.shape}; a volume of three axes is needed: one file per channel or time.")
    return squeezed


def _usable_affine(affine: NDArray[Any] | None, path: Path) -> NDArray[np.float64]:
    matrix = np.full((4, 4), np.nan) if affine is None else np.asarray(affine, dtype=np.float64)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise UserError(
            f"{path}: its affine {matrix.tolist()} has no inverse or is not finite; repair the sform or qform."
        )
    return matrix


def _warn_without_transform(image: Any, path: Path) -> None:
    header = image.header
    if "sform_code" in header and int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        _logger.warning("%s: neither sform nor qform is set; its orientation is a guess from the voxel size.", path)


def _as_integers(array: NDArray[Any], path: Path) -> NDArray[Any]:
    if np.issubdtype(array.dtype, np.integer):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    is_whole = (np.abs(array) < _LARGEST_LABEL) & (np.rint(array) == array)
    if not is_whole.all():
        raise UserError(
            f"{path}: a label map holds whole numbers, but {array[~is_whole].flat[0]} was found; "
            "is it an image or a map of probabilities?"
        )
    return array.astype(np.int32)


def _set_both_transforms(image: Any, affine: NDArray[np.float64]) -> None:
    """A qform cannot hold shear: then it is left unset, so that every reader takes the sform."""
    image.set_sform(affine, code=_SCANNER_CODE)
    image.set_qform(affine, code=_SCANNER_CODE)
    if not np.allclose(image.get_qform(), affine, rtol=0, atol=1e-3):
        image.set_qform(None, code=0)


def _largest_corner_distance(first: Volume, second: Volume) -> float:
    """Largest distance in mm between where the two affines put the corners of the voxel grid."""
    corners = np.array([(*corner, 1) for corner in product(*((0, size - 1) for size in first.shape))])
    return float(np.linalg.norm(corners @ (first.affine - second.affine).T, axis=1).max())
