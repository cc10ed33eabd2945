"""NIfTI files (.nii, .nii.gz, .hdr with .img): the voxels and affine of a sound file, or what is wrong with it."""

import gzip
import logging
import os
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import nibabel
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from aunet.data.io.format import Format, StoredVoxels
from aunet.data.io.grid import Affine, Shape, Voxels
from aunet.data.io.nifti_header import LARGEST_COMPRESSION, CheckedHeader, read_header
from aunet.errors import UserError
from aunet.files import replaced_atomically

_logger = logging.getLogger(__name__)

# Raised by nibabel and the decompressor for a file that is not NIfTI, is truncated or may not be read.
_READ_ERRORS = (OSError, EOFError, zlib.error, ValueError, OverflowError, HeaderDataError, WrapStructError)
_GZIP = b"\x1f\x8b"
_PAIRS = {".hdr": ".img", ".img": ".hdr"}
_DRAINED_AT_ONCE = 2**20
_SCANNER_CODE = 1
_Result = TypeVar("_Result")
_Streams = tuple[BinaryIO, BinaryIO]


def read_nifti_grid(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Read shape and affine (4, 4) to RAS+ mm from the header alone; errors as in ``read_nifti``."""

    def take(streams: _Streams, checked: CheckedHeader) -> tuple[tuple[int, ...], Affine]:
        return checked.header.get_data_shape(), checked.affine

    return _read(path, take)


def read_nifti(path: Path, dtype: type[np.generic] | None = None) -> tuple[Voxels, CheckedHeader]:
    """Read voxels, their stored scale applied, as ``dtype`` or the file's type, and the header with their affine.

    Oddities of a usable file are logged. Raises UserError if the file is missing, not NIfTI, truncated or otherwise
    damaged, if its voxels are not real numbers, and if its affine places them nowhere.
    """

    def take(streams: _Streams, checked: CheckedHeader) -> tuple[Voxels, CheckedHeader]:
        array = np.asanyarray(ArrayProxy(streams[1], checked.header), dtype=dtype)
        for remark in (*checked.remarks, *_remarks_on_end(streams[1], checked)):
            _logger.warning("%s: %s", path, remark)
        return array, checked

    return _read(path, take)


def files_of_nifti(path: Path) -> list[Path]:
    """Return the file itself, or the header and the voxels of a pair."""
    header, voxels = _header_and_voxels(path)
    return [header] if header == voxels else [header, voxels]


def header_of(path: Path) -> Path:
    """Return the header of a pair if ``path`` is its voxels (.img) and the header is there; else ``path``."""
    header, voxels = _header_and_voxels(path)
    return header if path == voxels and header.is_file() else path


def _read(path: Path, take: Callable[[_Streams, CheckedHeader], _Result]) -> _Result:
    header, voxels = _header_and_voxels(path)
    for file in (header, voxels):
        if not file.is_file():
            fault = "a folder, not a file" if file.is_dir() else "no such file"
            raise UserError(f"{file}: {fault}; give the path of a NIfTI file (.nii.gz or .nii, or .hdr beside .img).")
    is_pair = header != voxels
    try:
        with ExitStack() as stack:
            streams = (stack.enter_context(_opened(header)), stack.enter_context(_opened(voxels)))
            most = voxels.stat().st_size * (LARGEST_COMPRESSION if _is_compressed(voxels) else 1)
            return take(streams, read_header(streams[0], path, most, is_pair=is_pair))
    except UserError:
        raise
    except _READ_ERRORS as error:
        raise UserError(
            f"{path}: not a readable NIfTI file ({error}); it may be truncated, damaged or not what its name says:"
            " copy it again."
        ) from error


def _header_and_voxels(path: Path) -> tuple[Path, Path]:
    """Return the file of the header and that of the voxels, one and the same unless they are a pair."""
    compressed = path.suffix if path.suffix.lower() == ".gz" else ""
    plain = path.name.removesuffix(compressed)
    suffix = Path(plain).suffix
    if suffix.lower() not in _PAIRS:
        return path, path
    partner = _PAIRS[suffix.lower()]
    other = path.with_name(plain.removesuffix(suffix) + (partner.upper() if suffix.isupper() else partner) + compressed)
    packed = other.with_name(other.name.removesuffix(compressed) + ("" if compressed else ".gz"))
    if packed.is_file() and not other.is_file():  # only one of the two is compressed
        other = packed
    return (path, other) if suffix.lower() == ".hdr" else (other, path)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if _is_compressed(path) else path.open("rb")


def _is_compressed(path: Path) -> bool:
    """Return whether the file is compressed, by its first bytes: names err in both directions."""
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def _remarks_on_end(stream: BinaryIO, checked: CheckedHeader) -> list[str]:
    """Read to the end, where a compressed file is checked against its checksum; remark on bytes behind the voxels."""
    if isinstance(stream, gzip.GzipFile):
        while stream.read(_DRAINED_AT_ONCE):
            pass
    else:
        stream.seek(0, os.SEEK_END)
    end, last = checked.end_of_voxels, stream.tell()
    if last <= end:
        return []
    return [
        f"its voxels end at byte {end:,} by its header, and the file at byte {last:,}; the header may describe fewer"
        " voxels than there are, or a wrong begin (vox_offset). Look at the scan, or convert it again from its source."
    ]


def _recognises(head: bytes) -> bool:
    """Return whether a header of NIfTI-1 or NIfTI-2 begins here, in either byte order."""
    size = head[:4]
    is_first = size in ((348).to_bytes(4, "little"), (348).to_bytes(4, "big")) and head[344:347] in (b"n+1", b"ni1")
    is_second = size in ((540).to_bytes(4, "little"), (540).to_bytes(4, "big")) and head[4:7] in (b"n+2", b"ni2")
    return is_first or is_second


def _read_grid(path: Path) -> tuple[Shape, Affine]:
    shape, affine = read_nifti_grid(path)
    if len(shape) < 3 or min(shape) < 1:
        raise UserError(f"{path}: shape {shape}; a volume of three axes is needed: export the scan again.")
    height, width, depth = shape[:3]
    return (height, width, depth), affine


def _read_image(path: Path) -> StoredVoxels:
    array, checked = read_nifti(path, np.float32)
    if array.ndim == 5 and array.shape[3] == 1:  # as ITK stores channels
        array = array[:, :, :, 0]
    channels = tuple(np.moveaxis(array, 3, 0)) if array.ndim == 4 else (array,)
    return StoredVoxels(channels, checked.affine, checked.affine_error)


def _read_label(path: Path) -> StoredVoxels:
    array, checked = read_nifti(path)
    return StoredVoxels((array,), checked.affine, checked.affine_error)


def _write(path: Path, array: Voxels, affine: Affine) -> None:
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.header["cal_max"] = array.max(initial=0)
    _set_both_transforms(image, affine)
    with replaced_atomically(path) as temporary:
        image.to_filename(temporary)


def _set_both_transforms(image: Any, affine: Affine) -> None:
    """Set sform and qform; leave the qform unset if it cannot hold the shear, so that every reader takes the sform."""
    image.set_sform(affine, code=_SCANNER_CODE)
    image.set_qform(affine, code=_SCANNER_CODE)
    if not np.allclose(image.get_qform(), affine, rtol=0, atol=1e-3):
        image.set_qform(None, code=0)


NIFTI = Format(
    name="NIfTI",
    suffixes=(".nii.gz", ".nii", ".hdr", ".hdr.gz"),
    recognises=_recognises,
    read_grid=_read_grid,
    read_image=_read_image,
    read_label=_read_label,
    write_label=_write,
    write_image=_write,
    files=files_of_nifti,
)
