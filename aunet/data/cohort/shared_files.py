"""Cases that share a file or its content, which must stay on one side of every split."""

import gzip
import hashlib
import logging
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aunet.data.cohort.case import Case
from aunet.data.cohort.joined_names import JoinedNames
from aunet.data.io.formats import files_of
from aunet.data.io.volume import read_label
from aunet.errors import UserError

_logger = logging.getLogger(__name__)

# Bytes at the beginning, in the middle and at the end: files that differ, differ there in all but contrived cases, and
# only those that do not are read whole.
_BLOCK = 2**16
_MOST_NAMED = 5
_GZIP, _LEAST_GZIP = b"\x1f\x8b", 18  # its first bytes, and the bytes of an empty file


@dataclass(frozen=True)
class _Use:
    """One file of a case; a label map has no channel."""

    case_id: str
    path: Path
    channel: int | None


def join_sharing_cases(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Return the cases with one patient for all that share an image, a label map or a mask, each group in one warning.

    Files are the same if their paths lead to one file, or if their contents, unpacked from gzip, are equal. Label maps
    of equal content count only if they mark something, as every empty one may be the same. A file of a further channel
    that all cases share, such as an atlas, does not count.
    """
    shared = _joined(cases, _shared_paths(cases))
    linked = [replace(case, group=shared[case.patient]) if case.patient in shared else case for case in cases]
    copied = _joined(linked, _shared_contents(linked))
    return tuple(replace(case, copy_group=copied.get(case.patient, "")) for case in linked)


def _joined(cases: Sequence[Case], shared: Iterable[list[_Use]]) -> dict[str, str]:
    """Return the common name of each patient who is joined to another; each group of uses that joins is a warning."""
    patient_of = {case.case_id: case.patient for case in cases}
    patients = JoinedNames(patient_of.values())
    for uses in shared:
        if patients.join(patient_of[use.case_id] for use in uses):
            _warn(uses)
    return {patient: patients.leader(patient) for patient in patients.joined()}


def _warn(uses: Sequence[_Use]) -> None:
    names = sorted({use.case_id for use in uses})
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    kind = "label map" if uses[0].channel is None else "image"
    is_one = len({use.path for use in uses}) == 1
    _logger.warning(
        "%s: the cases %s%s share this %s%s; they count as one patient, in one part of every split.",
        *(uses[0].path, ", ".join(names[:_MOST_NAMED]), more, kind, "" if is_one else " (equal content)"),
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
    groups = [uses]
    for key in (_sizes, _digest_of_parts, _digest):  # each reads more, so only what the one before cannot tell apart
        groups = [alike for group in groups for alike in _grouped(group, key)]
    for equal in groups:
        case_ids = {use.case_id for use in equal}
        is_atlas = len(case_ids) == len(cases) and all(use.channel for use in equal)
        if len({use.path for use in equal}) > 1 and len(case_ids) > 1 and not is_atlas and _marks_something(equal):
            yield equal


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
    """Return the size of each file; of one that is compressed by gzip, the unpacked size that it ends in."""
    return tuple(
        int.from_bytes(end[-4:], "little") if (end := _end_of_gzip(file)) else file.stat().st_size
        for file in files_of(path)
    )


def _end_of_gzip(file: Path) -> bytes:
    """Return checksum and unpacked size of a file in gzip, the same however well it is packed; empty for others."""
    with file.open("rb") as stream:
        if stream.read(len(_GZIP)) != _GZIP or file.stat().st_size < _LEAST_GZIP:
            return b""
        stream.seek(-8, os.SEEK_END)
        return stream.read()


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    for file in files_of(path):
        is_packed = bool(_end_of_gzip(file))
        with gzip.open(file) if is_packed else file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.digest()


def _digest_of_parts(path: Path) -> bytes:
    """Return the digest of parts of the first, middle and last file of a scan."""
    files = files_of(path)
    digest = hashlib.sha256()
    for file in (*files[:1], *files[len(files) // 2 :][:1], *files[-1:]):
        if end := _end_of_gzip(file):
            digest.update(end)
            continue
        size = file.stat().st_size
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
