"""Checks that compare the cases of a cohort: duplicates, and cases unlike the rest; and of the disk that they need."""

import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.data.cohort.case import Cohort
from aunet.data.store_room import Load
from aunet.doctor.case_facts import CaseFacts
from aunet.doctor.finding import (
    ABSENT_CLASS,
    NO_ROOM,
    OTHER_INTENSITY,
    OTHER_ORIENTATION,
    OTHER_SPACING,
    OTHER_VOLUME,
    SAME_IMAGE,
    SAME_LABEL,
    SAME_PATIENT,
    Finding,
)
from aunet.messages import gigabytes

# Cases farther from the median are reported, in robust deviations (1.4826 times the median absolute deviation).
_FAR = 5.0
# Fewer cases do not show what is usual.
_FEWEST_CASES = 6
# Lower bounds of the spread, so that small differences in a uniform cohort do not count: 15 % of a volume, 15 HU.
_SPREAD_OF_LOG_VOLUME, _SPREAD_OF_HU = 0.15, 15.0
_OTHER_BY_FACTOR = 3.0
# mm; no scanner makes voxels beyond these.
_SMALLEST_VOXEL, _LARGEST_VOXEL = 0.02, 30.0


def check_cohort(facts: Sequence[CaseFacts], cohort: Cohort) -> Iterator[Finding]:
    """Yield the findings that only a comparison of the measured cases shows."""
    yield from _same_images(facts)
    yield from _same_labels(facts)
    yield from _same_patients(facts)
    yield from _other_orientations(facts)
    yield from _other_spacings(facts)
    for index, name in cohort.labels.foreground:
        annotated = {case.case_id for case in cohort.cases if case.annotates(index)}
        having = [case for case in facts if index in case.classes]
        yield from _absent(facts, having, annotated, name)
        yield from _other_volumes(having, index, name)
        if cohort.channel_modalities[0] == "ct":
            yield from _other_intensities(having, index, name)


def robust_deviations(values: NDArray[np.float64], least_spread: float) -> NDArray[np.float64]:
    """Return the distance of each value from the median in robust standard deviations of at least ``least_spread``."""
    from_median = values - np.median(values)
    return from_median / max(1.4826 * float(np.median(np.abs(from_median))), least_spread)


def _same_images(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    for first, *others in _grouped(facts, lambda case: case.image_digest):
        for other in others:
            label = "the same label" if other.label_digest == first.label_digest else "another label"
            yield Finding(SAME_IMAGE, other.case_id, f"voxel for voxel the image of {first.case_id}, with {label}")


def _same_labels(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Yield a finding for each label map that is another's, voxel for voxel, if it marks something."""
    marked = [case for case in facts if case.classes]
    for first, *others in _grouped(marked, lambda case: case.label_digest):
        for other in others:
            if other.image_digest != first.image_digest:
                yield Finding(SAME_LABEL, other.case_id, f"voxel for voxel the label of {first.case_id}")


def _same_patients(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    for cases in _grouped(facts, lambda case: case.patient):
        names = ", ".join(case.case_id for case in cases[1:])
        yield Finding(SAME_PATIENT, cases[0].case_id, f"patient {cases[0].patient} is also in {names}")


def _other_orientations(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    counts = Counter(case.orientation for case in facts)
    usual = max(counts, key=lambda name: counts[name], default="")
    for case in facts:
        if case.orientation != usual:
            yield Finding(OTHER_ORIENTATION, case.case_id, f"{case.orientation}, where most are {usual}")


def _other_spacings(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    if not facts:
        return
    medians = np.median([case.spacing for case in facts], axis=0)
    for case in facts:
        factor = float(np.exp(np.abs(np.log(np.divide(case.spacing, medians))).max()))
        sides = "×".join(f"{side:g}" for side in case.spacing)
        if min(case.spacing) < _SMALLEST_VOXEL or max(case.spacing) > _LARGEST_VOXEL:
            yield Finding(OTHER_SPACING, case.case_id, f"voxels of {sides} mm: no scanner makes these")
        elif factor > _OTHER_BY_FACTOR and len(facts) >= _FEWEST_CASES:
            usual = "×".join(f"{side:g}" for side in medians)
            yield Finding(OTHER_SPACING, case.case_id, f"voxels of {sides} mm; the median is {usual} mm")


def _absent(
    facts: Sequence[CaseFacts], having: Sequence[CaseFacts], annotated: set[str], name: str
) -> Iterator[Finding]:
    """Yield a finding for each case that lacks a class that most cases have, if it has other classes."""
    names = {case.case_id for case in having}
    speaking = [case for case in facts if case.case_id in annotated]
    if 2 * len(names) > len(speaking):
        for case in speaking:
            if case.classes and case.case_id not in names:
                yield Finding(ABSENT_CLASS, case.case_id, f"no {name}, which {len(names)} of {len(speaking)} have")


def _other_volumes(having: Sequence[CaseFacts], index: int, name: str) -> Iterator[Finding]:
    if len(having) < _FEWEST_CASES:
        return
    volumes = np.array([case.classes[index].volume_ml for case in having])
    far = robust_deviations(np.log(volumes), _SPREAD_OF_LOG_VOLUME)
    for case, volume, deviation in zip(having, volumes, far, strict=True):
        if abs(deviation) > _FAR:
            message = (
                f"{name}: {volume:.3g} ml, {deviation:+.0f} deviations from the median of {np.median(volumes):.3g} ml"
            )
            yield Finding(OTHER_VOLUME, case.case_id, message)


def _other_intensities(having: Sequence[CaseFacts], index: int, name: str) -> Iterator[Finding]:
    measured = [case for case in having if np.isfinite(case.classes[index].median)]
    if len(measured) < _FEWEST_CASES:
        return
    medians = np.array([case.classes[index].median for case in measured])
    far = robust_deviations(medians, _SPREAD_OF_HU)
    for case, median, deviation in zip(measured, medians, far, strict=True):
        if abs(deviation) > _FAR:
            message = f"{name}: median {median:.0f} HU, {deviation:+.0f} deviations from the cohort's"
            yield Finding(OTHER_INTENSITY, case.case_id, f"{message} {np.median(medians):.0f}")


def _grouped(facts: Sequence[CaseFacts], key: Callable[[CaseFacts], str]) -> list[list[CaseFacts]]:
    """Return the groups of two or more cases that share a key."""
    groups: defaultdict[str, list[CaseFacts]] = defaultdict(list)
    for case in facts:
        groups[key(case)].append(case)
    return [cases for cases in groups.values() if len(cases) > 1]


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
