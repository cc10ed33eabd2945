"""Preprocessed cases on disk: made once, shared by every worker, rank and run, keyed by content and settings."""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import numpy as np

from aunet.classes import IGNORED
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.references import read_scan_and_reference
from aunet.data.preprocessing.region import Box, RegionFinder
from aunet.data.preprocessing.steps import PreprocessedVolume, Preprocessing
from aunet.data.store.chunked_array import DamagedArrayError
from aunet.data.store.stored_case import StoredCase, open_stored_case, write_stored_case
from aunet.data.store_room import check_room, load_of, num_threads
from aunet.errors import NoRoomError, UserError, is_disk_full
from aunet.files import folder_created_atomically, held_alone
from aunet.messages import gigabytes
from aunet.terminal import shown

_log = logging.getLogger(__name__)
_VERSION = 2
_THREADS_THAT_LOOK = 4
_LONGEST_NAME = 60
_MOST_BYTES = 180  # of 255 that file systems allow; a digest and a temporary prefix are added

_Place = tuple[Case, Path]
_Result = TypeVar("_Result")


class CaseStore:
    """The store of one cohort under one preprocessing: a folder below ``root`` with a folder for each case.

    A case is found again by the content of its files, wherever they lie. Several processes may fill one store at
    once: each case is made by one of them, completely or not at all, and a process that dies leaves no partial case.

    Args:
        root: folder of all stores.
        cohort: the dataset, which maps label values to classes.
        preprocessing: applied to every case.
        digests: those of the cases' files.
        budget: GB that all stores below ``root`` may take together; None for no limit.
        region: finds the part of each scan to keep; None keeps whole scans.
    """

    def __init__(
        self,
        root: Path,
        cohort: Cohort,
        preprocessing: Preprocessing,
        digests: ContentDigests,
        budget: float | None = None,
        region: RegionFinder | None = None,
    ) -> None:
        self._root = root
        self._cohort = cohort
        self._preprocessing = preprocessing
        self._digests = digests
        self._budget = budget
        self._region = region
        settings = hashlib.sha256(json.dumps(self._settings(), sort_keys=True).encode()).hexdigest()
        self.folder = root / f"{_file_name(cohort.name)}-{settings[:12]}"

    def prepare(self, cases: Sequence[Case], *, is_verifying: bool = False) -> list[StoredCase]:
        """Return every case as stored, in order; make missing and damaged ones, several at once.

        Damage is looked for in the frame of each file, or in every chunk if ``is_verifying``. The first case that
        cannot be read raises a UserError. Too little room raises a NoRoomError, before anything is made if that can be
        foreseen.
        """
        digests = self._digests.of_cases(cases)
        places = [(case, self.folder / _entry_name(case, digest)) for case, digest in zip(cases, digests, strict=True)]
        look = partial(_intact, is_verifying=is_verifying)
        found = _in_threads(look, places, "Opening cases", _THREADS_THAT_LOOK)
        missing = [place for place, stored in zip(places, found, strict=True) if stored is None]
        made = iter(self._make_all(missing, is_verifying) if missing else [])
        present = [stored or next(made) for stored in found]
        if present:
            with suppress(OSError):  # another user's folder or a read-only disk, of which nothing more is needed
                os.utime(self.folder)  # marks the last use, by which users choose what to delete
            size = gigabytes(sum(stored.num_bytes for stored in present))
            _log.info(
                "Case store: %d cases, %d of them made now, %s in %s", len(cases), len(missing), size, self.folder
            )
        return present

    def _make_all(self, places: Sequence[_Place], is_verifying: bool) -> list[StoredCase]:
        loads = [load_of(case, self._preprocessing.spacing, self._cohort.num_channels) for case, _ in places]
        check_room(self._root, sum(load.stored_bytes for load in loads), self._budget)
        make = partial(self._make, is_verifying=is_verifying)
        return _in_threads(make, places, "Preparing cases", num_threads(loads))

    def _make(self, place: _Place, is_verifying: bool) -> StoredCase:
        case, folder = place
        with held_alone(self.folder / ".locks" / folder.name):
            stored = _intact(place, is_verifying, is_telling=True)
            if stored:  # another process made it meanwhile
                return stored
            _remove(folder)
            try:
                with folder_created_atomically(folder) as temporary:
                    image, label, box = self._prepared(case)
                    write_stored_case(temporary, case.case_id, image, label, self._cohort.labels.num_classes, box)
            except OSError as error:
                if not is_disk_full(error):
                    raise
                raise NoRoomError(
                    f"{folder}: the disk is full. Free some space, or set data.cache= to a folder on another disk."
                ) from None
            return open_stored_case(case.case_id, folder)

    def _settings(self) -> dict[str, object]:
        settings: dict[str, object] = {
            "version": _VERSION,
            "preprocessing": self._preprocessing.settings(),
            "classes": sorted(self._cohort.class_of_value.items()),
            "is_other_background": self._cohort.is_other_background,
            "has_instances": self._cohort.has_instances,
        }
        return settings if self._region is None else settings | {"region": self._region.settings()}

    def _prepared(self, case: Case) -> tuple[PreprocessedVolume, PreprocessedVolume, Box | None]:
        """Return image and label of a case, and the box that they were cut to; None if they are of the whole scan."""
        channels, label = read_scan_and_reference(case, self._cohort)
        box = self._region.find(channels) if self._region else None
        if box is not None:
            channels, label = [box.cut(channel) for channel in channels], box.cut(label)
        image = self._preprocessing.image(channels)
        if not image.array.any() or all(np.ptp(channel.array) == 0 for channel in channels):
            _log.warning(
                "%s: every voxel of case %s is the same within data.window, so it teaches nothing. Export the scan"
                " again, or take the case out.",
                case.images[0],
                case.case_id,
            )
        prepared = self._preprocessing.label(label)
        if (prepared.array == IGNORED).all():
            part = " within data.region" if box is not None else ""
            raise UserError(
                f"{label.name}: case {case.case_id}: every voxel of its label map is ignored{part}, so it teaches"
                " nothing. Correct it, or take the case out."
            )
        return image, prepared, box


def _intact(place: _Place, is_verifying: bool, is_telling: bool = False) -> StoredCase | None:
    """Return the stored case at a place; None if it is missing or damaged, which is logged if ``is_telling``."""
    case, folder = place
    if not folder.is_dir():
        return None
    try:
        stored = open_stored_case(case.case_id, folder)
        if is_verifying:
            stored.verify()
    except DamagedArrayError as error:
        if is_telling:
            _log.warning("%s: the stored case %s is made again.", error, case.case_id)
        return None
    return stored


def _remove(folder: Path) -> None:
    """Delete a damaged case in one step, and the remains left by processes that died."""
    if folder.exists():
        folder.rename(folder.with_name(f".{uuid4().hex[:8]}-{folder.name}"))
    for remainder in folder.parent.glob(f".????????-{folder.name}"):
        shutil.rmtree(remainder, ignore_errors=True)


def _in_threads(
    function: Callable[[_Place], _Result], places: Sequence[_Place], description: str, threads: int
) -> list[_Result]:
    """Apply ``function`` to each place, in order, with a progress bar; after an error start nothing more."""
    pool = ThreadPoolExecutor(threads)
    try:
        return list(shown(pool.map(function, places), description, len(places)))
    finally:
        pool.shutdown(cancel_futures=True)


def _entry_name(case: Case, digest: str) -> str:
    """Return a name made from the content of the case's files and the values of its masks, which no file holds."""
    content = hashlib.sha256(f"{digest} {[value for value, _ in case.masks]}".encode()).hexdigest()
    return f"{_file_name(case.case_id)}-{content[:16]}"


def _file_name(name: str) -> str:
    plain = re.sub(r"[^\w.=+-]", "-", name).lstrip(".")[:_LONGEST_NAME]
    return plain.encode()[:_MOST_BYTES].decode(errors="ignore")
