"""A memory-mapped array on disk in compressed chunks; a read unpacks only the chunks that it touches.

The layout was chosen by reading random patches of one synthetic CT (512x512x200 float16, clipped and standardised,
noise as sharp as in real scans) from the page cache with one thread of a 2-core AMD EPYC; memory is that added by
reading 96³:

============================================  =====  =======  =====  ============  ======  =====
layout                                        ratio  write s  96³/s  160x160x96/s  memory  files
============================================  =====  =======  =====  ============  ======  =====
not compressed, memory-mapped (.npy)           1.00      0.1    960           450               1
these chunks, 32³, shuffle + LZ4               1.83      0.3    275           125   7 MiB       1
these chunks, 32³, shuffle + zstd 1            2.59      0.5    135            47               1
blosc2's own NDArray, 64³/32³, shuffle + LZ4   1.82      0.5    370           165  13 MiB       1
blosc2's own NDArray, the same with zstd 1     2.58      1.1    160            63               1
tensorstore (zarr), 32³, bitshuffle + LZ4      1.86      1.3    210           104            1793
tensorstore (zarr), 32³, bitshuffle + zstd 1   2.09      0.9    100            48  19 MiB    1793
zarr 3, 64³, bitshuffle + zstd 1               2.05      0.7     44            26  23 MiB     257
zarr 3, shards of 128³, chunks of 32³          2.09      1.2     22            10              33
============================================  =====  =======  =====  ============  ======  =====

LZ4 was chosen: a case is written once and read thousands of times, and with augmentation a read is twice the patch.
blosc2 compresses, but its container is not used: the metadata of a blosc2 file may name lazy expressions, remote
arrays and Python functions, which opening it builds. A file here is plain data: a line that names the format, a line
of JSON, the places and checksums of the chunks, the chunks.
"""

import json
import math
import mmap
import zlib
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from aunet.data.io.grid import Voxels

_FORMAT = b"aunet chunks 1\n"
_LONGEST_HEADER = 4096
_ENTRIES_PER_CHUNK = 32**3
_DTYPES = ("float16", "uint8", "int32")
_COMPRESSION = {
    "codec": blosc2.Codec.LZ4,
    "clevel": 5,
    "filters": [blosc2.Filter.SHUFFLE],
    "filters_meta": [0],
    "nthreads": 1,
}
# Typed Any, as blosc2 annotates their options as if each were a mapping.
_pack: Any = blosc2.compress2
_unpack: Any = blosc2.decompress2


class DamagedArrayError(Exception):
    """A file that differs from what ``write_chunked`` wrote; the message says where and how."""


class ChunkedArray:
    """An array stored by ``write_chunked``. Opening checks the file's frame; reading checks the chunks it reads.

    It holds a memory map and is meant to be short-lived: opened for a read, in the process that reads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise DamagedArrayError(f"{path} cannot be read ({error})") from None
        header, index_start = self._header()
        try:
            self.shape, self.dtype, self._chunk_shape = _layout(header)
        except (ValueError, OverflowError, RecursionError, KeyError, TypeError):
            raise self._damage("its header makes no sense") from None
        self._grid = [-(-length // side) for length, side in zip(self.shape, self._chunk_shape, strict=True)]
        self._offsets, self._checksums = self._index(index_start)

    def cut(self, start: Sequence[int], size: Sequence[int]) -> Voxels:
        """Return ``size`` entries from ``start`` along each axis; entries outside the array are 0."""
        result = np.zeros(tuple(size), self.dtype)
        axes = zip(start, size, self.shape, self._chunk_shape, strict=True)
        for touched in product(*(_touched_chunks(*axis) for axis in axes)):
            place, inside_result, inside_chunk = zip(*touched, strict=True)
            result[inside_result] = self._chunk(place)[inside_chunk]
        return result

    def verify(self) -> None:
        """Unpack every chunk; raise DamagedArrayError for the first that differs from what was written."""
        for place in product(*map(range, self._grid)):
            self._chunk(place)

    def _chunk(self, place: Sequence[int]) -> Voxels:
        shape = _chunk_shape_at(place, self.shape, self._chunk_shape)
        number = 0
        for at, length in zip(place, self._grid, strict=True):
            number = number * length + at
        packed = self._bytes[self._offsets[number] : self._offsets[number + 1]]
        if zlib.crc32(packed) != self._checksums[number]:
            raise self._damage(f"chunk {number} does not have its checksum")
        chunk = np.empty(shape, self.dtype)
        # blosc2 writes as many bytes as the chunk claims to have, regardless of the destination's size.
        if blosc2.get_cbuffer_sizes(packed)[0] != chunk.nbytes:
            raise self._damage(f"chunk {number} has another size")
        _unpack(packed, dst=chunk, nthreads=1)
        return chunk

    def _header(self) -> tuple[bytes, int]:
        head = bytes(self._bytes[:_LONGEST_HEADER])
        end = head.find(b"\n", len(_FORMAT))
        if not head.startswith(_FORMAT) or end < 0:
            raise self._damage("it does not begin as such a file does")
        return head[len(_FORMAT) : end], end + 1

    def _index(self, start: int) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        number = math.prod(self._grid)
        end = start + 8 * (number + 1) + 4 * number
        if end + 4 > len(self._bytes):
            raise self._damage("it is cut short")
        if zlib.crc32(self._bytes[:end]) != int.from_bytes(self._bytes[end : end + 4], "little"):
            raise self._damage("its index does not have its checksum")
        offsets = np.frombuffer(self._bytes, "<u8", number + 1, start)
        if offsets[-1] != len(self._bytes):
            raise self._damage(f"it has {len(self._bytes)} bytes instead of {offsets[-1]}")
        return offsets, np.frombuffer(self._bytes, "<u4", number, end - 4 * number)

    def _damage(self, reason: str) -> DamagedArrayError:
        return DamagedArrayError(f"{self._path} is damaged: {reason}")


def write_chunked(path: Path, array: Voxels, spatial_dims: int) -> None:
    """Write ``array`` (float16, uint8 or int32, no axis empty) to ``path``, in chunks along its last ``spatial_dims``.

    No chunk holds more than one channel.
    """
    assert array.dtype.name in _DTYPES, f"array of type {array.dtype}"
    assert array.size, f"array of shape {array.shape}"
    chunk_shape = _chunk_shape(array.shape, spatial_dims)
    layout = {"shape": array.shape, "dtype": array.dtype.name, "chunk": chunk_shape}
    head = _FORMAT + json.dumps(layout).encode() + b"\n"
    number = math.prod(-(-length // side) for length, side in zip(array.shape, chunk_shape, strict=True))
    offsets, checksums = [len(head) + 8 * (number + 1) + 4 * number + 4], list[int]()
    with path.open("wb") as file:
        file.seek(offsets[0])
        for chunk in _chunks(array, chunk_shape):
            packed: bytes = _pack(chunk, typesize=array.dtype.itemsize, **_COMPRESSION)
            file.write(packed)
            offsets.append(offsets[-1] + len(packed))
            checksums.append(zlib.crc32(packed))
        frame = head + np.array(offsets, "<u8").tobytes() + np.array(checksums, "<u4").tobytes()
        file.seek(0)
        file.write(frame + zlib.crc32(frame).to_bytes(4, "little"))


def _chunk_shape(shape: Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """Return about 32³ entries, equal sides along spatial axes longer than 1: 32³ of a volume, 181² of a picture."""
    spatial = shape[len(shape) - spatial_dims :]
    side = round(_ENTRIES_PER_CHUNK ** (1 / max(1, sum(length > 1 for length in spatial))))
    return (*(1 for _ in shape[: len(shape) - spatial_dims]), *(min(side, length) for length in spatial))


def _touched_chunks(start: int, size: int, length: int, side: int) -> list[tuple[int, slice, slice]]:
    """Return, along one axis, the chunks that ``size`` entries from ``start`` touch, where each goes and which part."""
    start, touched = int(start), list[tuple[int, slice, slice]]()
    for number in range(max(start, 0) // side, -(-min(start + int(size), length) // side)):
        first, last = max(start, number * side), min(start + int(size), (number + 1) * side, length)
        if first < last:
            touched.append(
                (number, slice(first - start, last - start), slice(first - number * side, last - number * side))
            )
    return touched


def _chunks(array: Voxels, chunk_shape: Sequence[int]) -> Iterator[Voxels]:
    starts = (range(0, length, side) for length, side in zip(array.shape, chunk_shape, strict=True))
    for start in product(*starts):
        yield np.ascontiguousarray(array[_spans(start, np.add(start, chunk_shape))])


def _chunk_shape_at(place: Sequence[int], shape: Sequence[int], chunk_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a chunk, smaller at the far ends of an array that is not a multiple of the chunk."""
    axes = zip(place, shape, chunk_shape, strict=True)
    return tuple(min(side, length - number * side) for number, length, side in axes)


def _spans(start: Sequence[int], end: NDArray[np.integer]) -> tuple[slice, ...]:
    return tuple(slice(int(first), int(last)) for first, last in zip(start, end, strict=True))


def _layout(header: bytes) -> tuple[tuple[int, ...], np.dtype[np.generic], tuple[int, ...]]:
    """Return shape, type and chunk shape from the line of JSON; raise ValueError for values that are never written."""
    content = json.loads(header)
    shape, chunk_shape = (tuple(int(length) for length in content[key]) for key in ("shape", "chunk"))
    if content["dtype"] not in _DTYPES or min(*shape, *chunk_shape) < 1 or len(shape) != len(chunk_shape):
        raise ValueError
    return shape, np.dtype(content["dtype"]), chunk_shape
