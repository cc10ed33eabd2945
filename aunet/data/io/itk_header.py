"""Headers of NRRD and MetaImage files as text, checked before a library that may crash on them reads them."""

import math
import re
import zlib
from pathlib import Path
from typing import BinaryIO

from aunet.errors import UserError

_HEADER_BYTES = 2**20  # 3D Slicer writes a thousand for each segment
# NrrdIO, which SimpleITK contains, writes a line that it refuses to a buffer of 1024 characters, with more text.
_LONGEST_LINE = 500
_MOST_AXES = 10  # more end MetaIO, which SimpleITK contains, with a segmentation fault
# Lines of NRRD that may be long: comments, pairs of key and value, and the free text of ``content``.
_FREE_LINE = re.compile(rb"#|[^:]*:=|content:")
_IS_COMPRESSED = re.compile(rb"^\s*CompressedData\s*[=:]\s*[Tt1]", re.MULTILINE)
_COMPRESSED_BYTES = re.compile(rb"^\s*CompressedDataSize\s*[=:]\s*(\S*)", re.MULTILINE)
_AT_ONCE = 2**20
_OTHER_SIZE = 0.005  # relative: writers round voxel sizes to three digits
_LINE_END = 2  # bytes that may follow the voxels
_ZLIB_OR_GZIP = 47  # window bits, the same as MetaIO's
# The side on which an axis begins, and the direction in LPS+ that it then has.
_BEGINS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "I": (0, 0, 1), "S": (0, 0, -1)}
_NUM_AXES = re.compile(rb"^\s*NDims\s*[=:]?\s*(\S*)", re.MULTILINE)


def header_text(path: Path) -> bytes:
    """Return the part of a file that is text: up to an empty line, or up to the name of the file with the voxels.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); put it in its place, or copy it again.") from None
    head = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # NrrdIO ends a line at each of the three
    head = head.split(b"\n\n", 1)[0]
    match = re.search(rb"^ElementDataFile[^\n]*", head, re.MULTILINE)
    return head[: match.end()] if match else head


def check_header(path: Path) -> None:
    """Raise UserError for a header on which the libraries inside SimpleITK would end the process."""
    header = header_text(path)
    if header.startswith(b"NRRD"):
        for number, line in enumerate(header.split(b"\n"), start=1):
            if len(line) > _LONGEST_LINE and not _FREE_LINE.match(line):
                raise UserError(
                    f"{path}: line {number} of its header has {len(line)} characters, more than {_LONGEST_LINE};"
                    " it is damaged: copy it again."
                )
    for match in _NUM_AXES.finditer(header):
        if not match[1].isdigit() or not 1 <= int(match[1]) <= _MOST_AXES:
            raise UserError(
                f"{path}: NDims is {match[1].decode(errors='replace')[:40]!r}, not a number from 1 to {_MOST_AXES};"
                " it is damaged: copy it again."
            )


def check_compression(path: Path, voxels: Path) -> None:
    """Raise UserError if the compressed voxels of a MetaImage are damaged, of which MetaIO never finishes reading.

    Args:
        path: of the header.
        voxels: of the file with the voxels, which may be the same.
    """
    header = header_text(path)
    if header.startswith(b"NRRD") or not _IS_COMPRESSED.search(header):
        return
    size = _COMPRESSED_BYTES.search(header)
    is_possible = size is None or 0 <= _number(size[1]) <= voxels.stat().st_size
    with voxels.open("rb") as file:
        if voxels == path:
            file.seek(file.read(_HEADER_BYTES).index(header.splitlines()[-1]))
            file.readline()
        if not is_possible or not _is_sound(file):
            raise UserError(f"{path}: its compressed voxels are damaged or truncated: copy it again.")


def header_remarks(path: Path) -> list[str]:
    """Return a sentence on each fact that the header leaves open or contradicts, with what is used."""
    header = header_text(path)
    if header.startswith(b"NRRD"):
        has_directions, has_spacings = (_field(header, name) is not None for name in (b"space directions", b"spacings"))
        missing = [] if has_directions or has_spacings else ["voxel size (space directions)"]
        missing += ["place (space origin)"] if has_directions and _field(header, b"space origin") is None else []
        return [_missing(name) for name in missing]
    spacing, size = _numbers_of(header, b"ElementSpacing"), _numbers_of(header, b"ElementSize")
    places = (_field(header, name) for name in (b"Offset", b"Position", b"Origin"))
    remarks = [] if spacing or size else [_missing("voxel size (ElementSpacing)")]
    remarks += [] if any(place is not None for place in places) else [_missing("place (Offset)")]
    if any(side < 0 for side in spacing or size):
        remarks.append(f"its voxel size is {spacing or size}; a size is positive, so the sign is left out.")
    if spacing and size and not _are_equal(spacing, size):
        remarks.append(f"ElementSpacing is {spacing} and ElementSize {size}; ElementSpacing is used.")
    return remarks + _contradicted_orientation(header)


def _contradicted_orientation(header: bytes) -> list[str]:
    """Return a remark if AnatomicalOrientation names other directions than the matrix has; empty if they agree.

    Its letters are the sides where the axes begin, as ITK writes them, or for some writers those where they end.
    """
    letters = (_field(header, b"AnatomicalOrientation") or b"").decode(errors="replace").upper()
    fields = (_numbers_of(header, name) for name in (b"TransformMatrix", b"Rotation", b"Orientation"))
    matrix = next((numbers for numbers in fields if len(numbers) == 9), None)
    if matrix is None or len(letters) != 3 or not set(letters) <= set(_BEGINS):
        return []
    along = [
        sum(one * other for one, other in zip(_BEGINS[letter], matrix[3 * axis : 3 * axis + 3], strict=True))
        for axis, letter in enumerate(letters)
    ]
    if min(along) > 0 or max(along) < 0:
        return []
    return [
        f"AnatomicalOrientation is {letters}, which its TransformMatrix contradicts; TransformMatrix is used. Other"
        " programs may take the letters."
    ]


def check_all_read(path: Path, voxels: Path, num_bytes: int) -> None:
    """Raise UserError if voxels that are stored as they are take more bytes than the ``num_bytes`` that were read.

    They may begin behind a header of another program, and everything read would be shifted.
    """
    header = header_text(path)
    is_nrrd = header.startswith(b"NRRD")
    begins = _field(header, b"byte skip") or _field(header, b"line skip") if is_nrrd else _field(header, b"HeaderSize")
    is_raw = _field(header, b"encoding") == b"raw" if is_nrrd else not _IS_COMPRESSED.search(header)
    if begins not in (None, b"0") or not is_raw:
        return
    held = voxels.stat().st_size
    if voxels == path:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
        end = (
            re.search(rb"\r?\n\r?\n", head) if is_nrrd else re.search(rb"^ElementDataFile[^\n]*\n", head, re.MULTILINE)
        )
        held -= end.end() if end else held
    if held - num_bytes > _LINE_END:
        remedy = "byte skip: -1" if is_nrrd else "HeaderSize = -1"
        raise UserError(
            f"{path}: its header describes {num_bytes:,} bytes of voxels, and {voxels.name} holds {held:,}, without a"
            f" word where they begin. Write '{remedy}' into the header if the voxels are its last bytes; else export"
            " the scan again."
        )


def _missing(name: str) -> str:
    guess = "1 mm" if name.startswith("voxel") else "0"
    return f"its header has no {name}; {guess} is taken, a guess."


def _field(header: bytes, name: bytes) -> bytes | None:
    """Return the value of a field in either format; None if the header lacks it."""
    match = re.search(rb"^\s*" + name + rb"\s*[:=]\s*(.*?)\s*$", header, re.MULTILINE | re.IGNORECASE)
    return match[1] if match else None


def _numbers_of(header: bytes, name: bytes) -> list[float]:
    numbers = [_number(word) for word in (_field(header, name) or b"").split()]
    return [] if any(map(math.isnan, numbers)) else numbers


def _are_equal(first: list[float], second: list[float]) -> bool:
    pairs = zip(first, second, strict=False)
    return all(math.isclose(abs(one), abs(other), rel_tol=_OTHER_SIZE) for one, other in pairs)


def _number(text: bytes) -> float:
    """Return a number, which older writers round as 1.2e+07; NaN for other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_sound(stream: BinaryIO) -> bool:
    """Return whether a stream of zlib or gzip can be unpacked to its end; nothing of it is kept."""
    unpack, packed = zlib.decompressobj(_ZLIB_OR_GZIP), b""
    try:
        while not unpack.eof:
            packed = unpack.unconsumed_tail or stream.read(_AT_ONCE)
            if not packed:
                return False
            unpack.decompress(packed, _AT_ONCE)
    except zlib.error:
        return False
    return True
