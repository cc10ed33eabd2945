"""Images and label maps as arrays with a place in the patient, from files of every format in ``formats``."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.data.io.formats import FORMATS, NIFTI, PICTURE, format_of, format_of_name
from aunet.data.io.formats import stem as stem
from aunet.data.io.grid import Affine, Shape, Voxels
from aunet.data.io.grid import Volume as Volume
from aunet.data.io.grid import align as align
from aunet.data.io.grid import check_same_grid as check_same_grid
from aunet.errors import UserError

_LARGEST_LABEL = 2**31
# A label that was stored through a scaled int16 or a float32 returns within this of its whole number.
_LABEL_ROUNDING = 1e-3


def read_grid(path: Path) -> tuple[Shape, Affine]:
    """Read the shape along the three spatial axes and the affine from the header; errors as in ``read_volume``."""
    return format_of(path).read_grid(path)


def read_volume(path: Path) -> Volume:
    """Read an image of one channel as float32 with its stored intensity scale applied; see ``read_channels``.

    A trailing axis of length 1 is dropped. Raises UserError for a file that is missing, of an unknown format,
    truncated, not 3D, without a usable affine or with NaN, for a folder without one whole series of evenly spaced
    slices, and for a picture as ``pictures.read_picture``.
    """
    channels = read_channels(path)
    if len(channels) > 1:
        raise UserError(f"{path}: {len(channels)} channels; a volume of three axes is needed: one file per channel.")
    return channels[0]


def read_channels(path: Path) -> list[Volume]:
    """Read the channels of an image, each a volume of float32.

    A 3D file, a folder with a DICOM series and a grey picture have one, a picture in colour three, a 4D file one per
    index of its last axis.
    """
    stored = format_of(path).read_image(path)
    return [
        Volume(
            _three_axes(_finite(channel.astype(np.float32, copy=False), path), path),
            stored.affine,
            path,
            stored.affine_error,
        )
        for channel in stored.channels
    ]


def read_label(path: Path) -> Volume:
    """Read a label map as integers; errors as in ``read_volume``, and for numbers that are not whole within 0.001."""
    stored = format_of(path).read_label(path)
    first, *more = stored.channels
    if more:
        shape = (*first.shape, len(stored.channels))
        raise UserError(f"{path}: shape {shape}; a volume of three axes is needed: one file per channel or time.")
    array = _as_integers(_three_axes(first, path), path)
    return Volume(array, stored.affine, path, stored.affine_error, stored.is_sparse)


def write_label(path: Path, array: NDArray[np.uint8], affine: Affine) -> None:
    """Write a label map (H, W, D) in the format that the name ends as: the whole file appears or none.

    Raises UserError if that format cannot hold a label map.
    """
    named = format_of_name(path)
    is_whole = named is not None and (named.is_flat or path.name.endswith(_written_suffixes()))
    if named is None or named.write_label is None or not is_whole:
        raise UserError(
            f"{path}: a label map is written as {', '.join(_written_suffixes(with_pictures=False))}, a picture's as"
            " .png; end its name in one of them."
        )
    assert array.ndim == 3, f"label map of shape {array.shape}"
    assert array.dtype == np.uint8, f"label map of type {array.dtype}"
    named.write_label(path, array, affine)


def write_volume(path: Path, array: NDArray[np.float32], affine: Affine) -> None:
    """Write a volume (H, W, D) of real numbers as ``write_label`` does; raise UserError for a format without them."""
    named = format_of_name(path)
    if named is None or named.write_image is None or not path.name.endswith(_written_suffixes(with_pictures=False)):
        raise UserError(
            f"{path}: a volume is written as {', '.join(_written_suffixes(with_pictures=False))}; end its name in one"
            " of them."
        )
    named.write_image(path, array, affine)


def is_image(path: Path) -> bool:
    """Return whether the name is that of a file of a readable format; hidden files are not."""
    return format_of_name(path) is not None


def label_suffix(image: Path, wanted: str | None = None) -> str:
    """Return the suffix of a label map of ``image``: ``wanted``, or that of its own format if it can hold one.

    ``wanted`` is a suffix such as .nii.gz or .nrrd; a picture, which has no place in a patient, is always .png.
    """
    own = format_of_name(image) or NIFTI
    if wanted is None or own is PICTURE:
        return own.label_suffix
    suffix = wanted if wanted.startswith(".") else f".{wanted}"
    if suffix not in (written := _written_suffixes(with_pictures=False)):
        raise UserError(
            f"{wanted}: label maps of scans are not written in this format; known are {', '.join(written)}."
        )
    return suffix


def _written_suffixes(*, with_pictures: bool = True) -> tuple[str, ...]:
    """Return the suffixes of files that can be written; a header beside its voxels cannot appear in one step."""
    own = (kind.label_suffix for kind in FORMATS if kind.write_label and (with_pictures or not kind.is_flat))
    return (*own, ".nii")


def _finite(array: Voxels, path: Path) -> Voxels:
    if not np.isfinite(array).all():
        raise UserError(f"{path}: the image holds NaN or infinite voxels; replace them by numbers.")
    return array


def _three_axes(array: Voxels, path: Path) -> Voxels:
    squeezed = array.reshape(array.shape[:3]) if array.shape[3:] and set(array.shape[3:]) == {1} else array
    if squeezed.ndim != 3 or 0 in squeezed.shape:
        raise UserError(f"{path}: shape {array.shape}; a volume of three axes is needed: one file per channel or time.")
    return squeezed


def _as_integers(array: Voxels, path: Path) -> Voxels:
    if np.issubdtype(array.dtype, np.integer):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    whole = np.rint(array)
    with np.errstate(invalid="ignore"):  # inf - inf
        is_whole = (np.abs(array) < _LARGEST_LABEL) & (np.abs(whole - array) <= _LABEL_ROUNDING)
    if not is_whole.all():
        raise UserError(
            f"{path}: a label map holds whole numbers, but {array[~is_whole].flat[0]} was found; "
            "is it an image or a map of probabilities?"
        )
    return whole.astype(np.int32)
