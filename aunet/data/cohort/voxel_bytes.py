"""The voxels of NIfTI files as bytes, behind whatever header: found to be equal with little reading.

A file in gzip ends in the checksum of all its bytes, header included. The checksum (CRC-32) is linear, so that of the
voxels follows from it and the header's, without unpacking the voxels.
"""

import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

_GZIP = b"\x1f\x8b"
_HEAD = 352  # bytes of the header of NIfTI-1, with the mark of its extensions
_BLOCK = 2**16
# Size of the header -> place and type of vox_offset, the byte at which the voxels begin.
_OFFSETS = {348: (108, "f"), 540: (168, "q")}
_CRC32 = 0xEDB88320  # the polynomial, its bits reversed
_ONE, _X = 1 << 31, 1 << 30


@dataclass(frozen=True)
class VoxelBytes:
    """The bytes of a file from the first voxel on.

    Attributes:
        path: the file.
        is_packed: whether it is compressed by gzip.
        start: the byte of the first voxel, unpacked.
        size: number of bytes from there on.
    """

    path: Path
    is_packed: bool
    start: int
    size: int

    def checksum(self) -> int:
        """Return the checksum of the bytes; only a file that is not compressed is read whole."""
        if not self.is_packed:
            return _checksum_of(self._blocks())
        with gzip.open(self.path) as stream:
            of_header = zlib.crc32(stream.read(self.start))
        return _checksum_behind(of_header, _end_of(self.path)[0], self.size)

    def digest_of_parts(self) -> bytes:
        """Return a digest of some blocks of a file that is not compressed."""
        digest = hashlib.sha256()
        with self.path.open("rb") as stream:
            for place in (0, max(0, self.size // 2 - _BLOCK // 2), max(0, self.size - _BLOCK)):
                stream.seek(self.start + place)
                digest.update(stream.read(_BLOCK))
        return digest.digest()

    def digest(self) -> bytes:
        """Return the digest of all bytes."""
        digest = hashlib.sha256()
        for block in self._blocks():
            digest.update(block)
        return digest.digest()

    def _blocks(self) -> Iterator[bytes]:
        with _opened(self.path, self.is_packed) as stream:
            stream.seek(self.start)
            while block := stream.read(_BLOCK):
                yield block


def find_voxel_bytes(path: Path) -> VoxelBytes | None:
    """Return where the voxels of a file lie; None for one that is not NIfTI with header and voxels in one."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        is_packed = file.read(len(_GZIP)) == _GZIP
    with _opened(path, is_packed) as stream:
        head = stream.read(_HEAD)
    size = _end_of(path)[1] if is_packed else path.stat().st_size
    start = _first_voxel(head)
    return VoxelBytes(path, is_packed, start, size - start) if start and start < size else None


def _first_voxel(head: bytes) -> int | None:
    for order in "<>":
        of_header = struct.unpack_from(f"{order}i", head)[0] if len(head) == _HEAD else 0
        if of_header in _OFFSETS:
            place, kind = _OFFSETS[of_header]
            start = struct.unpack_from(order + kind, head, place)[0]
            return int(start) if of_header < start < _BLOCK else None  # NaN is neither
    return None


def _opened(path: Path, is_packed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if is_packed else path.open("rb")


def _end_of(path: Path) -> tuple[int, int]:
    """Return checksum and size of all unpacked bytes (modulo 4 GiB), in which a file of gzip ends."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        checksum, size = struct.unpack("<II", file.read())
    return checksum, size


def _checksum_of(blocks: Iterator[bytes]) -> int:
    checksum = 0
    for block in blocks:
        checksum = zlib.crc32(block, checksum)
    return checksum


def _checksum_behind(first: int, both: int, size: int) -> int:
    """Return the checksum of ``size`` bytes from that of what precedes them (``first``) and that of ``both``.

    CRC-32 of A and B joined is (CRC of A) * x^(8 size of B) + (CRC of B), polynomials modulo that of CRC-32 over the
    field of two elements, in which a sum is its own difference. The highest bit is the coefficient of x^0.
    """
    return both ^ _product(_power_of_x(8 * size), first)


def _power_of_x(exponent: int) -> int:
    power, square = _ONE, _X
    while exponent:
        if exponent & 1:
            power = _product(power, square)
        square = _product(square, square)
        exponent >>= 1
    return power


def _product(one: int, other: int) -> int:
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (_CRC32 if other & 1 else 0)
    return product
