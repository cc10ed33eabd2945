"""A reader of NIfTI files: the voxels and affine of a sound file, or an error that says what is wrong with it."""

import gzip
import logging
import math
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from aunet.errors import UserError

_logger = logging.getLogger(__name__)

# Raised by nibabel and the decompressor for a file that is not NIfTI, is truncated or may not be read.
_READ_ERRORS = (OSError, EOFError, zlib.error, ValueError, OverflowError, HeaderDataError, WrapStructError)
# Deflate packs at most 1032 bytes into one.
_LARGEST_COMPRESSION = 1032
_LARGEST_SIDE = 1000.0  # mm of a voxel
_VISIBLE_DISAGREEMENT = 0.5  # of the smallest voxel side
_NIFTI2_HEADER_BYTES = 540
_DRAINED_AT_ONCE = 2**20

Affine = NDArray[np.float64]


class _Remarks:
    """A log for nibabel's remarks on headers that it mends, which do not name the file."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, level: int, message: str) -> None:
        if level >= logging.WARNING:
            self.messages.append(message)


def read_nifti_grid(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Read shape and affine (4, 4) to RAS+ mm from the header alone; errors as in ``read_nifti``."""

    def take(stream: BinaryIO) -> tuple[tuple[int, ...], Affine]:
        header, _ = _checked_header(stream, path)
        return header.get_data_shape(), _usable_affine(header, path)

    return _read(path, take)


def read_nifti(path: Path, dtype: type[np.generic] | None = None) -> tuple[NDArray[Any], Affine]:
    """Read voxels, their stored scale applied, as ``dtype`` or the file's type, and their affine (4, 4) to RAS+ mm.

    Oddities of a usable file are logged. Raises UserError if the file is missing, not NIfTI, truncated or otherwise
    damaged, if its voxels are not real numbers, and if its affine places them nowhere.
    """

    def take(stream: BinaryIO) -> tuple[NDArray[Any], Affine]:
        header, remarks = _checked_header(stream, path)
        affine = _usable_affine(header, path)
        array = np.asanyarray(ArrayProxy(stream, header), dtype=dtype)
        _read_to_the_end(stream)
        _tell_oddities(header, remarks, path)
        return array, affine

    return _read(path, take)


def _read(path: Path, take: Callable[[BinaryIO], Any]) -> Any:
    if not path.is_file():
        fault = "a folder, not a file" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {fault}; give the path of a NIfTI file (.nii.gz or .nii).")
    try:
        with cast(BinaryIO, gzip.open(path)) if _is_compressed(path) else path.open("rb") as stream:
            return take(stream)
    except UserError:
        raise
    except _READ_ERRORS as error:
        raise UserError(
            f"{path}: not a readable NIfTI file ({error}); it may be truncated, damaged or not what its name says:"
            " copy it again."
        ) from error


def _is_compressed(path: Path) -> bool:
    return path.name.endswith(".gz")


def _checked_header(stream: BinaryIO, path: Path) -> tuple[Any, list[str]]:
    """Return the header and nibabel's remarks on it; raise UserError if it describes impossible voxels."""
    num_bytes = np.frombuffer(stream.read(4), np.int32)
    stream.seek(0)
    is_second = _NIFTI2_HEADER_BYTES in (*num_bytes, *num_bytes.byteswap())
    kind: Any = Nifti2Header if is_second else Nifti1Header
    header = kind(stream.read(kind.template_dtype.itemsize), check=False)
    sides = np.array(header["pixdim"][1:4])
    remarks = _Remarks()
    header.check_fix(logger=remarks)
    if not sides.all() and int(header["sform_code"]) == 0:
        raise UserError(
            f"{path}: its voxels are {sides.tolist()} mm wide (pixdim), and there is no sform to tell otherwise. Set"
            " the voxel size, or convert the scan again from its source."
        )
    _check_voxels(header, path)
    return header, remarks.messages


def _check_voxels(header: Any, path: Path) -> None:
    """Raise UserError for impossible voxels before memory is allocated, as a damaged header may claim any size."""
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UserError(
            f"{path}: its voxels are {header.get_value_label('datatype')}; a scan or label map has one real number a"
            " voxel: save each part as a file of its own."
        )
    needed = header.get_data_offset() + math.prod(shape) * dtype.itemsize
    most = path.stat().st_size * (_LARGEST_COMPRESSION if _is_compressed(path) else 1)
    if needed > most:
        raise UserError(
            f"{path}: its header tells of {'×'.join(map(str, shape))} voxels, {needed:,} bytes, and the file holds"
            f" {most:,} at most; it is truncated or damaged: copy it again."
        )


def _usable_affine(header: Any, path: Path) -> Affine:
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise UserError(
            f"{path}: its affine {affine.tolist()} has no inverse or is not finite; repair the sform or qform."
        )
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if sides.max() > _LARGEST_SIDE:
        raise UserError(
            f"{path}: its voxels are {' × '.join(f'{side:g}' for side in sides)} mm wide, more than any scanner's;"
            " repair the sform or qform. Are they micrometres?"
        )
    return affine


def _read_to_the_end(stream: BinaryIO) -> None:
    """Read to the end, behind the voxels, where a compressed file is checked against its checksum."""
    if isinstance(stream, gzip.GzipFile):
        while stream.read(_DRAINED_AT_ONCE):
            pass


def _tell_oddities(header: Any, remarks: list[str], path: Path) -> None:
    for remark in remarks:
        _logger.warning("%s: %s", path, remark)
    sform, qform = header.get_sform(coded=True)[0], _qform(header)
    if sform is None and qform is None:
        _logger.warning("%s: neither sform nor qform is set; its orientation is a guess from the voxel size.", path)
    if sform is not None and qform is not None:
        distance = largest_corner_distance(header.get_data_shape()[:3], sform, qform)
        if distance > _VISIBLE_DISAGREEMENT * np.linalg.norm(sform[:3, :3], axis=0).min():
            _logger.warning(
                "%s: its sform and qform place the same voxel up to %.3g mm apart; the sform holds here, other programs"
                " may take the qform.",
                path,
                distance,
            )


def _qform(header: Any) -> Affine | None:
    """Return the qform; None if it is not set or its numbers are not a rotation."""
    try:
        return header.get_qform(coded=True)[0]
    except ValueError:
        return None


def largest_corner_distance(shape: tuple[int, ...], first: Affine, second: Affine) -> float:
    """Return the largest distance in mm between the corners of a voxel grid (H, W, D) as placed by two affines."""
    corners = np.array([(*corner, 1) for corner in product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm(corners @ (first - second).T, axis=1).max())
