"""Cases that share a file or its content, which must stay on one side of every split."""

import gzip
import hashlib
import logging
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from aunet.data.cohort.case import Case
from aunet.data.cohort.joined_names import JoinedNames
from aunet.data.cohort.voxel_bytes import VoxelBytes, find_voxel_bytes
from aunet.data.io.dicom_files import is_folder_of_files
from aunet.data.io.formats import files_of
from aunet.data.io.volume import read_label
from aunet.errors import UserError

_logger = logging.getLogger(__name__)

# Bytes at the beginning, in the middle and at the end: files that differ, differ there in all but contrived cases, and
# only those that do not are read whole.
_BLOCK = 2**16
_HEAD = 2**12  # bytes of each file of a folder: the header of a slice of DICOM begins with the UID of this slice
_MOST_NAMED = 5
_GZIP, _LEAST_GZIP = b"\x1f\x8b", 18  # its first bytes, and the bytes of an empty file
_SIZES_OF_GZIP = 2**32  # it stores the unpacked size modulo this


@dataclass(frozen=True)
class _Use:
    """One file of a case; a label map has no channel."""

    case_id: str
    path: Path
    channel: int | None


def join_sharing_cases(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Return the cases with one patient for all that share an image, a label map or a mask, each group in one warning.

    Files are the same if their paths lead to one file, or if their contents, unpacked from gzip, are equal; folders, if
    their files are, whatever their names; images in NIfTI, also if only their headers differ. Label maps of equal
    content count only if they mark something, as every empty one may be the same. A file of a further channel that all
    cases share, such as an atlas, does not count.
    """
    shared = _joined(cases, ((uses, "") for uses in _shared_paths(cases)))
    linked = [replace(case, group=shared[case.patient]) if case.patient in shared else case for case in cases]
    contents = ((uses, " (equal content)") for uses in _shared_contents(linked))
    voxels = ((uses, " (equal voxels, another header)") for uses in _shared_voxels(linked))
    copied = _joined(linked, chain(contents, voxels))
    return tuple(replace(case, copy_group=copied.get(case.patient, "")) for case in linked)


def _joined(cases: Sequence[Case], shared: Iterable[tuple[list[_Use], str]]) -> dict[str, str]:
    """Return the common name of each patient who is joined to another; each group of uses that joins is a warning."""
    patient_of = {case.case_id: case.patient for case in cases}
    patients = JoinedNames(patient_of.values())
    for uses, how in shared:
        if patients.join(patient_of[use.case_id] for use in uses):
            _warn(uses, how)
    return {patient: patients.leader(patient) for patient in patients.joined()}


def _warn(uses: Sequence[_Use], how: str) -> None:
    names = sorted({use.case_id for use in uses})
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    kind = "label map" if uses[0].channel is None else "image"
    _logger.warning(
        "%s: the cases %s%s share this %s%s; they count as one patient, in one part of every split.",
        *(uses[0].path, ", ".join(names[:_MOST_NAMED]), more, kind, how),
    )


def _shared_paths(cases: Sequence[Case]) -> Iterator[list[_Use]]:
    """Yield the uses of each file that several cases name, links followed."""
    found = defaultdict[Path, list[_Use]](list)
    for use in _uses(cases):
        try:
            found[use.path.resolve()].append(use)
        except (OSError, RuntimeError):  # a loop of links, refused when it is read
            continue
    for uses in found.values():
        case_ids = {use.case_id for use in uses}
        is_atlas = len(case_ids) == len(cases) and all(use.channel for use in uses)
        if len(case_ids) > 1 and not is_atlas:
            yield uses


def _shared_contents(cases: Sequence[Case]) -> Iterator[list[_Use]]:
    """Yield the uses of different files of equal content, masks of one organ each left out."""
    masks = {path for case in cases for _, path in case.masks}
    uses = [use for use in _uses(cases) if use.path not in masks]
    # Each key reads more, so only what the one before cannot tell apart.
    groups = _grouped(uses, _sizes)
    groups = [alike for group in groups for alike in _grouped(group, _cheap_key(group))]
    groups = [alike for group in groups for alike in _grouped(group, _digest)]
    for equal in groups:
        case_ids = {use.case_id for use in equal}
        is_atlas = len(case_ids) == len(cases) and all(use.channel for use in equal)
        if len({use.path for use in equal}) > 1 and len(case_ids) > 1 and not is_atlas and _marks_something(equal):
            yield equal


def _shared_voxels(cases: Sequence[Case]) -> Iterator[list[_Use]]:
    """Yield the uses of images (NIfTI) whose voxels are equal byte for byte, whatever their headers say."""
    uses = [use for use in _uses(cases) if use.channel is not None]
    for group in _grouped(uses, lambda path: _voxels_of(path).size):
        are_packed = any(_voxels_of(use.path).is_packed for use in group)
        cheap_key = VoxelBytes.checksum if are_packed else VoxelBytes.digest_of_parts
        for alike in _grouped(group, lambda path, key=cheap_key: key(_voxels_of(path))):
            for equal in _grouped(alike, lambda path: _voxels_of(path).digest()):
                case_ids = {use.case_id for use in equal}
                is_atlas = len(case_ids) == len(cases) and all(use.channel for use in equal)
                if len(case_ids) > 1 and not is_atlas:
                    yield equal


def _voxels_of(path: Path) -> VoxelBytes:
    voxels = find_voxel_bytes(path)
    if voxels is None:
        raise UserError(f"{path}: not one file of NIfTI.")
    return voxels


def _uses(cases: Sequence[Case]) -> Iterator[_Use]:
    for case in cases:
        for path in case.files:
            yield _Use(case.case_id, path, case.images.index(path) if path in case.images else None)


def _grouped(uses: Sequence[_Use], key: Callable[[Path], object]) -> list[list[_Use]]:
    """Return the groups of two or more uses whose files have the same ``key``."""
    groups = defaultdict[tuple[bool, object], list[_Use]](list)
    for use in uses:
        try:
            groups[use.channel is None, key(use.path)].append(use)
        except (OSError, EOFError, zlib.error, UserError):  # refused when it is read
            continue
    return [group for group in groups.values() if len(group) > 1]


def _sizes(path: Path) -> tuple[int, ...]:
    """Return the size of each file, in order; of one that is compressed by gzip, the unpacked size that it ends in."""
    sizes = (
        int.from_bytes(end[-4:], "little") if end else file.stat().st_size % _SIZES_OF_GZIP
        for file, end in _parts(path)
    )
    return tuple(sorted(sizes))


def _parts(path: Path) -> list[tuple[Path, bytes]]:
    """Return each file with its ``_end_of_gzip``, which those of a folder lack: no reader of DICOM unpacks them."""
    is_folder = is_folder_of_files(path)
    return [(file, b"" if is_folder else _end_of_gzip(file)) for file in files_of(path)]


def _end_of_gzip(file: Path) -> bytes:
    """Return checksum and unpacked size of a file in gzip, the same however well it is packed; empty for others."""
    with file.open("rb") as stream:
        if stream.read(len(_GZIP)) != _GZIP or file.stat().st_size < _LEAST_GZIP:
            return b""
        stream.seek(-8, os.SEEK_END)
        return stream.read()


def _cheap_key(uses: Sequence[_Use]) -> Callable[[Path], object]:
    """Return a key of files of equal size that reads little; the same scan packed and unpacked needs its checksum."""
    are_packed = {any(end for _, end in _parts(use.path)) for use in uses if not is_folder_of_files(use.path)}
    return _checksums if len(are_packed) > 1 else _digest_of_parts


def _checksums(path: Path) -> tuple[bytes, ...]:
    """Return the checksum of each file as gzip would store it, in order."""
    return tuple(sorted(end[:4] or _checksum(file) for file, end in _parts(path)))


def _checksum(file: Path) -> bytes:
    checksum = 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum.to_bytes(4, "little")


def _digest(path: Path) -> tuple[bytes, ...]:
    """Return the digest of each file, unpacked, in order, so that their names do not count."""
    return tuple(sorted(_digest_of_file(file, bool(end)) for file, end in _parts(path)))


def _digest_of_file(file: Path, is_packed: bool) -> bytes:
    digest = hashlib.sha256()
    with gzip.open(file) if is_packed else file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.digest()


def _digest_of_parts(path: Path) -> tuple[bytes, ...]:
    """Return a digest of parts of each file, in order; of a file in gzip, its checksum; of a slice, its beginning."""
    if is_folder_of_files(path):
        return tuple(sorted(_digest_of_head(file) for file in files_of(path)))
    return tuple(sorted(end or _digest_of_blocks(file) for file, end in _parts(path)))


def _digest_of_head(file: Path) -> bytes:
    with file.open("rb", buffering=0) as stream:
        return hashlib.sha256(stream.read(_HEAD)).digest()


def _digest_of_blocks(file: Path) -> bytes:
    digest, size = hashlib.sha256(), file.stat().st_size
    with file.open("rb") as stream:
        for start in (0, max(0, size // 2 - _BLOCK // 2), max(0, size - _BLOCK)):
            stream.seek(start)
            digest.update(stream.read(_BLOCK))
    return digest.digest()


def _marks_something(uses: Sequence[_Use]) -> bool:
    if uses[0].channel is not None:
        return True
    try:
        return bool(read_label(uses[0].path).array.any())
    except UserError:
        return False
