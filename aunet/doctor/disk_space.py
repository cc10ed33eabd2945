"""A check that the prepared cases of a cohort fit on the disk."""

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from aunet.data.store_room import Load, gigabytes
from aunet.doctor.case_facts import CaseFacts
from aunet.doctor.finding import NO_ROOM, Finding


def needed_bytes(facts: Sequence[CaseFacts], spacing: Sequence[float], num_channels: int) -> float:
    """Estimate the bytes that the cases take once they are resampled to ``spacing`` (mm)."""
    total = 0.0
    for case in facts:
        read = math.prod(case.shape) * num_channels
        total += Load(read, read * math.prod(case.spacing) / math.prod(spacing)).stored_bytes
    return total


def check_disk(needed: float, cache: Path) -> Iterator[Finding]:
    """Yield a finding if the disk of ``cache``, a folder that need not exist yet, lacks ``needed`` free bytes."""
    existing = next(path for path in (cache.absolute(), *cache.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free:
        yield Finding(
            NO_ROOM,
            "",
            f"prepared cases take about {gigabytes(needed)}; the disk of {cache} has {gigabytes(free)} free",
        )
