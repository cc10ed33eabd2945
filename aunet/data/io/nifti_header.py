"""NIfTI headers: checked, mended where their meaning is certain, and their contradictions in words."""

import logging
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from aunet.data.io.grid import Affine, largest_corner_distance
from aunet.errors import UserError

# Deflate packs at most 1032 bytes into one.
LARGEST_COMPRESSION = 1032
_LARGEST_EXTENSIONS = 2**16  # bytes between header and voxels
_LARGEST_SIDE = 1000.0  # mm of a voxel
_VISIBLE_DISAGREEMENT = 0.5  # of the smallest voxel side
_OTHER_SIZE = 0.005  # relative: writers round voxel sizes to three digits
_NIFTI2_HEADER_BYTES = 540
# Bytes, and the code of the kind, of an extension of the header: lengths are multiples of 16, codes are even.
_LONGEST_EXTENSION, _HIGHEST_CODE = 2**24, 64
_MAGICS = (b"n+1", b"ni1", b"n+2", b"ni2")
# The lowest three bits of xyzt_units; 0 (unknown) means mm by convention.
_UNITS = {1: ("metres", 1000.0), 3: ("micrometres", 0.001)}
# Squared length of a quaternion beyond 1: writers round its three numbers, in float32 or to four digits.
_QUATERNION_EXCESS = 3e-3
# Square of its first number below which nibabel takes it for 0, and the rounding of the others in float32 on top.
_TAKEN_FOR_ZERO = abs(float(Nifti1Header.quaternion_threshold))
_QUATERNION_ROUNDING = 2.0**-23


class _Remarks:
    """A log for nibabel's remarks on headers that it mends, which do not name the file."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def log(self, level: int, message: str) -> None:
        if level >= logging.WARNING:
            self.messages.append(message)


@dataclass(frozen=True)
class CheckedHeader:
    """A header that describes possible voxels; ``remarks`` are what was mended in it or contradicts itself.

    ``affine_error`` (mm) is how far the rounding of a qform may misplace a corner of the volume.
    """

    header: Nifti1Header
    affine: Affine
    affine_error: float
    remarks: tuple[str, ...]

    @property
    def end_of_voxels(self) -> int:
        """Return how many bytes the file with the voxels has by the header."""
        voxels = math.prod(self.header.get_data_shape()) * self.header.get_data_dtype().itemsize
        return self.header.get_data_offset() + voxels


def read_header(stream: BinaryIO, path: Path, num_bytes: int, *, is_pair: bool) -> CheckedHeader:
    """Read a header; ``num_bytes`` are the most that the file with the voxels can hold.

    Raises UserError if it describes impossible voxels, and nibabel's errors if it is not NIfTI.
    """
    first = np.frombuffer(stream.read(4), np.int32)
    stream.seek(0)
    is_second = _NIFTI2_HEADER_BYTES in (*first, *first.byteswap())
    kind: type[Nifti1Header] = Nifti2Header if is_second else Nifti1Header
    header = kind(stream.read(kind.template_dtype.itemsize), check=False)
    if not header["magic"].item() and header["sizeof_hdr"].item() == header.sizeof_hdr:
        raise UserError(
            f"{path}: Analyze 7.5 or a NIfTI header without its magic, which does not say where left and right are."
            " Convert the scan from its source to NIfTI (.nii.gz)."
        )
    sides = np.array(header["pixdim"][1:4])
    remarks = _Remarks()
    if not is_pair:
        remarks.messages += _mend_offset(header, stream, path)
    remarks.messages += _mend_trailing_axes(header)
    _clamp_quaternion(header)
    header.check_fix(logger=remarks)
    if not sides.all() and int(header["sform_code"]) == 0:
        raise UserError(
            f"{path}: its voxels are {sides.tolist()} mm wide (pixdim), and it has no sform that says otherwise. Set"
            " the voxel size, or convert the scan again from its source."
        )
    _check_voxels(header, path, num_bytes, first=0 if is_pair else int(header.single_vox_offset))
    affine, facts = _usable_affine(header, path)
    contradictions = [] if facts and "qform" in facts[0] else _contradictions(header, bool(remarks.messages))
    return CheckedHeader(header, affine, _affine_error(header), (*facts, *remarks.messages, *contradictions))


def _mend_offset(header: Nifti1Header, stream: BinaryIO, path: Path) -> list[str]:
    """Let voxels begin behind the header, if they are said to begin inside it; raise UserError if that is a guess."""
    offset, first = float(header["vox_offset"]), int(header.single_vox_offset)
    is_sound = header["magic"].item() in _MAGICS and int(header["sizeof_hdr"]) == header.sizeof_hdr
    if not is_sound or math.isnan(offset):  # which nibabel refuses
        return []
    if offset >= first:
        end = _end_of_extensions(stream, offset, first, header.endianness)
        header["vox_offset"] = end
        told = f"its voxels begin at byte {offset:g} (vox_offset), inside an extension of the header"
        return [f"{told}; they are read from byte {end:g} on"] if end > offset else []
    if stream.read(1) not in (b"", b"\0"):
        raise UserError(
            f"{path}: its voxels begin at byte {offset:g} (vox_offset), inside the header, and an extension of unknown"
            " length follows the header. Convert the scan again from its source."
        )
    header["vox_offset"] = first
    return [f"its voxels begin at byte {offset:g} (vox_offset), inside the header; they are read from byte {first} on"]


def _end_of_extensions(stream: BinaryIO, offset: float, first: int, order: str) -> float:
    """Return where the extension ends in which byte ``offset`` lies, or ``offset`` itself.

    Extensions begin at byte ``first`` behind a mark, each with its length and its code. Some writers set the mark
    without an extension, so a length and code that cannot be are taken for voxels.
    """
    end = first
    if stream.read(4)[:1] in (b"", b"\0"):
        return offset
    while end < offset or end == first:
        stream.seek(end)
        length, code = struct.unpack(f"{order}ii", head) if len(head := stream.read(8)) == 8 else (0, 0)
        if not 0 < length <= _LONGEST_EXTENSION or length % 16 or not 0 <= code <= _HIGHEST_CODE or code % 2:
            return offset
        end += length
    return max(offset, end)


def _mend_trailing_axes(header: Nifti1Header) -> list[str]:
    """Let axes behind the third have a length of at least 1."""
    num_axes = int(header["dim"][0])
    if not 3 < num_axes <= 7 or (header["dim"][4 : num_axes + 1] != 0).all():
        return []
    told = header["dim"][1 : num_axes + 1].tolist()
    header["dim"][4:] = np.maximum(header["dim"][4:], 1)
    return [f"its shape is {told}; an axis of no voxels behind the third is read as one of length 1"]


def _clamp_quaternion(header: Nifti1Header) -> None:
    """Shorten a quaternion whose three stored numbers are a hair longer than 1, which leaves no root for the fourth."""
    names = [f"quatern_{letter}" for letter in "bcd"]
    square = sum(float(header[name]) ** 2 for name in names)
    if 1 < square <= 1 + _QUATERNION_EXCESS:
        for name in names:
            header[name] = float(header[name]) / math.sqrt(square)


def _check_voxels(header: Nifti1Header, path: Path, num_bytes: int, *, first: int) -> None:
    """Raise UserError for impossible voxels before memory is allocated, as a damaged header may claim any size.

    ``first`` is the byte at which voxels usually begin.
    """
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UserError(
            f"{path}: its voxels are {header.get_value_label('datatype')}; a scan or label map has one real number a"
            " voxel: save each part as a file of its own."
        )
    offset, held = header.get_data_offset(), math.prod(shape) * dtype.itemsize
    needed = offset + held
    # Of a packed file only the most that it may hold is known, which is mostly far more.
    if needed > num_bytes and first <= num_bytes - held <= first + _LARGEST_EXTENSIONS:
        raise UserError(
            f"{path}: its voxels begin at byte {offset:,} (vox_offset) by its header, and from there on the file is too"
            f" short for them. If they are its last bytes, they begin at byte {num_bytes - held:,}; convert the scan"
            " again from its source."
        )
    if needed > num_bytes:
        raise UserError(
            f"{path}: its header describes {'×'.join(map(str, shape))} voxels, {needed:,} bytes, and the file holds"
            f" {num_bytes:,} at most; it is truncated or damaged: copy it again."
        )


def _usable_affine(header: Nifti1Header, path: Path) -> tuple[Affine, list[str]]:
    """Return the affine in mm, and remarks if the header has another unit or an unusable sform."""
    affine, remarks = np.array(header.get_best_affine(), dtype=np.float64), list[str]()
    qform = _qform(header)
    if qform is not None and not _is_usable(affine) and _is_usable(qform):
        affine, remarks = np.array(qform), ["its sform has no inverse; the qform is used"]
    unit, factor = _UNITS.get(int(header["xyzt_units"]) & 7, ("mm", 1.0))
    affine[:3] *= factor
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if not _is_usable(affine):
        raise UserError(
            f"{path}: its affine {affine.tolist()} has no inverse or is not finite; repair the sform or qform."
        )
    if sides.max() > _LARGEST_SIDE:
        raise UserError(
            f"{path}: its voxels are {' × '.join(f'{side:g}' for side in sides)} mm wide, more than any scanner's (unit"
            f" in the header: {unit}); repair the sform or qform, or its unit (xyzt_units)."
            f" Are they {'micrometres' if factor == 1 else 'millimetres'}?"
        )
    told = " × ".join(f"{side:g}" for side in sides)
    if factor != 1:
        remarks.append(f"its unit is {unit} (xyzt_units): voxels of {told} mm are used")
    return affine, remarks


def _is_usable(affine: Affine) -> bool:
    """Return whether an affine is finite and has an inverse, whatever the size of its voxels."""
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not sides.all():
        return False
    return abs(float(np.linalg.det(affine[:3, :3] / sides))) > 1e-6


def _affine_error(header: Nifti1Header) -> float:
    """Return how far in mm the rounding of the quaternion may move a corner; 0 if the sform counts.

    The first number of the quaternion follows from the three stored ones. Near 0, for turns by almost 180 degrees, it
    is the root of a difference that rounding fills, and an angle of 0.05 degrees may appear or vanish.
    """
    if int(header["sform_code"]) or not int(header["qform_code"]):
        return 0.0
    vector = np.array([float(header[f"quatern_{letter}"]) for letter in "bcd"])
    square, rounding = max(0.0, 1 - float(vector @ vector)), _QUATERNION_ROUNDING * float(np.abs(vector).sum())
    if square < _TAKEN_FOR_ZERO:
        square, rounding = 0.0, _TAKEN_FOR_ZERO + rounding
    angle = 2 * (math.sqrt(square + rounding) - math.sqrt(square))
    extent = np.array(header.get_data_shape()[:3]) * np.array(header.get_zooms()[:3])
    _, factor = _UNITS.get(int(header["xyzt_units"]) & 7, ("mm", 1.0))
    return angle * float(np.linalg.norm(extent)) * factor


def _contradictions(header: Nifti1Header, has_remarks: bool) -> list[str]:
    """Return a sentence if sform, qform and pixdim contradict each other, with what is used."""
    sform, qform = header.get_sform(coded=True)[0], _qform(header)
    if sform is None and qform is None:
        return ["neither sform nor qform is set; its orientation is a guess from the voxel size."]
    if sform is None:
        return []
    sides, sizes = np.linalg.norm(sform[:3, :3], axis=0), np.abs(np.array(header["pixdim"][1:4], dtype=float))
    if qform is not None and len(header.get_data_shape()) >= 3:
        distance = largest_corner_distance(header.get_data_shape()[:3], sform, qform)
        if distance > _VISIBLE_DISAGREEMENT * sides.min():
            return [
                f"its sform and qform place the same voxel up to {distance:.3g} mm apart; the sform is used, with"
                f" voxels of {_sides(sides)} mm (pixdim: {_sides(sizes)}). Other programs may take the qform."
            ]
    if not has_remarks and not (np.abs(sizes - sides) <= _OTHER_SIZE * sides).all():  # NaN contradicts too
        return [
            f"its voxels are {_sides(sides)} mm wide by its sform and {_sides(sizes)} by pixdim; the sform is used."
            " Other programs may take pixdim."
        ]
    return []


def _sides(lengths: Iterable[float]) -> str:
    return " × ".join(f"{length:.4g}" for length in lengths)


def _qform(header: Nifti1Header) -> Affine | None:
    """Return the qform; None if it is not set or its numbers are not a rotation."""
    try:
        return header.get_qform(coded=True)[0]
    except ValueError:
        return None
