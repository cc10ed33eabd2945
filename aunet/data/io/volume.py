"""Images and label maps as arrays with a place in the patient: NIfTI, folders of DICOM, PNG and TIFF."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from aunet.data.io.dicom_files import is_folder_of_files
from aunet.data.io.dicom_series import read_series, read_series_grid
from aunet.data.io.nifti import largest_corner_distance, read_nifti, read_nifti_grid
from aunet.data.io.pictures import (
    PICTURE_AFFINE,
    is_picture,
    picture_shape,
    read_picture,
    read_picture_label,
    write_picture_label,
)
from aunet.errors import UserError
from aunet.files import replaced_atomically

NIFTI_SUFFIXES = (".nii.gz", ".nii")
# Of the smallest voxel side: writers round affines to float32 or to six digits, which moves a corner far less.
_GRID_TOLERANCE = 0.01
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
        """Return the number of voxels along each stored axis."""
        height, width, depth = self.array.shape
        return height, width, depth

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the distance in mm between the centres of neighbouring voxels along each stored axis."""
        first, second, third = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return first, second, third

    @property
    def name(self) -> str:
        """Return the file or folder it was read from, for messages."""
        return str(self.path) if self.path else "volume in memory"


def read_grid(path: Path) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Read the shape along the three spatial axes and the affine from the header; errors as in ``read_volume``."""
    if is_folder_of_files(path):
        return read_series_grid(path)
    if is_picture(path):
        return picture_shape(path), PICTURE_AFFINE
    shape, affine = read_nifti_grid(path)
    if len(shape) < 3 or min(shape) < 1:
        raise UserError(f"{path}: shape {shape}; a volume of three axes is needed: export the scan again.")
    height, width, depth = shape[:3]
    return (height, width, depth), affine


def read_volume(path: Path) -> Volume:
    """Read an image of one channel as float32 with its stored intensity scale applied; see ``read_channels``.

    A trailing axis of length 1 is dropped. Raises UserError for a file that is missing, not NIfTI, truncated, not 3D,
    without a usable affine or with NaN, for a folder without one whole series of evenly spaced slices, and for a
    picture as ``pictures.read_picture``.
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
    array, affine = read_nifti(path, np.float32)
    channels = np.moveaxis(array, 3, 0) if _finite(array, path).ndim == 4 else [array]
    return [Volume(_three_axes(channel, path), affine, path) for channel in channels]


def read_label(path: Path) -> Volume:
    """Read a label map, NIfTI or a picture, as integers; errors as in ``read_volume``, and for other numbers."""
    if is_picture(path):
        return Volume(_as_integers(read_picture_label(path), path), PICTURE_AFFINE, path)
    array, affine = read_nifti(path)
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
    """Return whether the name is that of a NIfTI, PNG or TIFF file; hidden files are not."""
    return is_picture(path) or (path.name.endswith(NIFTI_SUFFIXES) and not path.name.startswith("."))


def label_suffix(image: Path) -> str:
    """Return the suffix of a label map of ``image``: .png for a picture, .nii.gz for a scan."""
    return ".png" if is_picture(image) else ".nii.gz"


def stem(path: Path) -> str:
    """Return the file name without its suffix: ``scan.nii.gz`` -> ``scan``."""
    suffix = next((suffix for suffix in NIFTI_SUFFIXES if path.name.endswith(suffix)), path.suffix)
    return path.name.removesuffix(suffix)


def check_same_grid(image: Volume, label: Volume, case_id: str) -> None:
    """Raise UserError unless both have one shape and their corners lie within 1 % of a voxel of each other."""
    if image.shape != label.shape:
        raise UserError(
            f"case {case_id}: {image.name} has shape {image.shape}, {label.name} has {label.shape}; "
            "both must lie on one voxel grid. Resample one onto the other."
        )
    distance = largest_corner_distance(image.shape, image.affine, label.affine)
    if distance > _GRID_TOLERANCE * min(image.spacing):
        raise UserError(
            f"case {case_id}: {image.name} and {label.name} have affines that place the same voxel up to "
            f"{distance:.3g} mm apart; both must lie on one voxel grid. Copy the image's affine if the label fits it."
        )


def _finite(array: NDArray[Any], path: Path) -> NDArray[Any]:
    if not np.isfinite(array).all():
        raise UserError(f"{path}: the image holds NaN or infinite voxels; replace them by numbers.")
    return array


def _three_axes(array: NDArray[Any], path: Path) -> NDArray[Any]:
    squeezed = array.reshape(array.shape[:3]) if array.shape[3:] and set(array.shape[3:]) == {1} else array
    if squeezed.ndim != 3 or 0 in squeezed.shape:
        raise UserError(f"{path}: shape {array.shape}; a volume of three axes is needed: one file per channel or time.")
    return squeezed


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
    """Set sform and qform; leave the qform unset if it cannot hold the shear, so that every reader takes the sform."""
    image.set_sform(affine, code=_SCANNER_CODE)
    image.set_qform(affine, code=_SCANNER_CODE)
    if not np.allclose(image.get_qform(), affine, rtol=0, atol=1e-3):
        image.set_qform(None, code=0)
