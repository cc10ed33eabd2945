"""Checks that the cases to store fit on the disk, within the budget and, while they are made, in memory."""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aunet.data.cohort.case import Case
from aunet.data.io.volume import read_grid
from aunet.errors import NoRoomError
from aunet.machine import count_cores, memory_bytes
from aunet.messages import gigabytes

# Measured: a clipped CT takes 1.1 bytes per voxel with its label, noise over the whole range of float16 takes 2.
_STORED_BYTES_PER_VOXEL = 2.0
# Measured: 12 if nothing is resampled (as read, reoriented, prepared, each float32), more if something is.
_WORKING_BYTES_PER_VOXEL = 20
_MOST_THREADS = 8
_SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True)
class Load:
    """Voxels, all channels together, of one case as read and as prepared."""

    read: float
    prepared: float

    @property
    def stored_bytes(self) -> float:
        """Estimate its bytes on disk, rather more than less."""
        return _STORED_BYTES_PER_VOXEL * self.prepared

    @property
    def working_bytes(self) -> float:
        """Estimate the bytes of memory that preparing it takes."""
        return _WORKING_BYTES_PER_VOXEL * max(self.read, self.prepared)


def load_of(case: Case, spacing: Sequence[float] | None, num_channels: int) -> Load:
    """Estimate the load of a case from its header; ``spacing`` (mm) is that of the prepared case, None its own."""
    shape, affine = read_grid(case.images[0])
    read = float(np.prod(shape)) * num_channels
    voxel = float(abs(np.linalg.det(affine[:3, :3])))
    return Load(read, read * voxel / float(np.prod(spacing)) if spacing else read)


def check_room(folder: Path, needed: float, budget: float | None) -> None:
    """Raise NoRoomError unless ``needed`` more bytes fit on the disk of ``folder`` and into ``budget`` GB in all."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoRoomError(
            f"data.cache: the cases to prepare need about {gigabytes(needed)} in {folder},"
            f" whose disk has {gigabytes(free)} free. Free some space, or set data.cache= to a folder on another disk."
            f"{_what_is_there(folder)}"
        )
    held = folder_bytes(folder)
    if budget is not None and held + needed > budget * 1e9:
        raise NoRoomError(
            f"store_budget={budget:g} GB: {folder} holds {gigabytes(held)} and the cases to prepare need"
            f" about {gigabytes(needed)}. Delete what is no longer used, or give a larger store_budget."
            f"{_what_is_there(folder)}"
        )


def num_threads(loads: Sequence[Load]) -> int:
    """Return how many of these cases to prepare at once: all cores, within half of the memory, eight at most."""
    memory = memory_bytes() * _SHARE_OF_MEMORY
    fitting = int(memory // max(load.working_bytes for load in loads))
    return max(1, min(count_cores(), fitting, len(loads), _MOST_THREADS))


def folder_bytes(folder: Path) -> int:
    """Sum the sizes of all files below ``folder``; a file that vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - a Path a file takes longer
            except FileNotFoundError:
                continue
    return total


def _what_is_there(folder: Path) -> str:
    parts = sorted((part for part in folder.iterdir() if part.is_dir()), key=lambda part: part.stat().st_mtime)
    lines = (
        f"\n  {part}: {gigabytes(folder_bytes(part))}, last used {time.strftime('%Y-%m-%d', _used(part))}"
        for part in parts
    )
    return "".join(lines)


def _used(part: Path) -> time.struct_time:
    return time.localtime(part.stat().st_mtime)
