"""Cases that share a file or its content, which must stay on one side of every split."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aunet.data.cohort.case import Case
from aunet.data.io.formats import files_of
from aunet.data.io.volume import read_label
from aunet.errors import UserError

_logger = logging.getLogger(__name__)

# Bytes at the beginning, in the middle and at the end: files that differ, differ there in all but contrived cases, and
# only those that do not are read whole.
_BLOCK = 2**16
_MOST_NAMED = 5


@dataclass(frozen=True)
class _Use:
    """One file of a case; a label map has no channel."""

    case_id: str
    path: Path
    channel: int | None


def join_sharing_cases(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Return the cases with one patient for all that share an image, a label map or a mask, each group in one warning.

    Files are the same if their paths lead to one file, or if their contents are equal. Label maps of equal content
    count only if they mark something, as every empty one may be the same. A file of a further channel that all cases
    share, such as an atlas, does not count.
    """
    leader = {case.patient: case.patient for case in cases}
    patient_of = {case.case_id: case.patient for case in cases}
    for uses in (*_shared_paths(cases), *_shared_contents(cases)):
        patients = sorted({_root(leader, patient_of[use.case_id]) for use in uses})
        for patient in patients[1:]:
            leader[patient] = patients[0]
        if len(patients) > 1:
            _warn(uses)
    joined = {patient for patient in leader if _root(leader, patient) != patient}
    joined |= {_root(leader, patient) for patient in joined}
    return tuple(replace(case, group=_root(leader, case.patient)) if case.patient in joined else case for case in cases)


def _root(leader: Mapping[str, str], patient: str) -> str:
    while leader[patient] != patient:
        patient = leader[patient]
    return patient


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
    for alike in _grouped(uses, is_whole=False):
        for equal in _grouped(alike, is_whole=True):
            case_ids = {use.case_id for use in equal}
            is_atlas = len(case_ids) == len(cases) and all(use.channel for use in equal)
            if len({use.path for use in equal}) > 1 and len(case_ids) > 1 and not is_atlas and _marks_something(equal):
                yield equal


def _uses(cases: Sequence[Case]) -> Iterator[_Use]:
    for case in cases:
        for path in case.files:
            yield _Use(case.case_id, path, case.images.index(path) if path in case.images else None)


def _grouped(uses: Sequence[_Use], *, is_whole: bool) -> list[list[_Use]]:
    """Return the groups of two or more uses whose files have equal content, or equal parts of it."""
    groups = defaultdict[tuple[bool, bytes], list[_Use]](list)
    for use in uses:
        try:
            groups[use.channel is None, _digest(use.path, is_whole=is_whole)].append(use)
        except (OSError, UserError):  # refused when it is read
            continue
    return [group for group in groups.values() if len(group) > 1]


def _digest(path: Path, *, is_whole: bool) -> bytes:
    """Return the digest of a scan's contents; unless ``is_whole``, of the sizes and of parts of some files."""
    files = files_of(path)
    digest = hashlib.sha256(repr([file.stat().st_size for file in files]).encode())
    for file in files if is_whole else [*files[:1], *files[len(files) // 2 :][:1], *files[-1:]]:
        size = file.stat().st_size
        with file.open("rb") as stream:
            if is_whole:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
                continue
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
