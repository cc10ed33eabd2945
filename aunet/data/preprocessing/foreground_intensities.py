"""Window, mean and deviation for ``data.window=auto``, over all labelled voxels of the training cases together.

Voxels are counted in bins of 1/8 HU, so the memory is bounded, the order of the cases does not matter, and the numbers
of scans in whole HU are exact. The counts of a case are kept on disk, keyed by the content of its files: the folds of a
cross-validation read each case once. Source of the rule: Isensee et al. 2021, nnU-Net's CT normalisation.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from aunet.classes import IGNORED
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.cohort.references import read_scan_and_reference
from aunet.data.preprocessing.intensity_scale import IntensityScale
from aunet.data.store_room import Load, load_of, num_threads
from aunet.errors import UserError
from aunet.files import replaced_atomically
from aunet.terminal import shown

PERCENTILES = (0.5, 99.5)

_VERSION = 1
_BINS_PER_HU = 8
# HU; no scanner writes more, and values beyond are counted as this.
_LARGEST = 2**15
_NUM_BINS = 2 * _LARGEST * _BINS_PER_HU + 1
_VOXELS_AT_ONCE = 2**22

Counts = NDArray[np.int64]
"""(num channels, bins): how many voxels lie in each bin."""


def measure_foreground(
    cases: Sequence[Case],
    cohort: Cohort,
    channels: Sequence[int],
    digests: ContentDigests,
    folder: Path,
    on_error: str = "stop",
) -> list[IntensityScale]:
    """Measure the labelled voxels of ``cases``, showing progress.

    Args:
        cases: the training cases.
        cohort: the dataset, which maps label values to classes.
        channels: which channels to measure.
        digests: those of the cases' files.
        folder: where the counts of each case are kept.
        on_error: "skip" leaves out a case that cannot be read; it is reported when it is prepared.

    Returns:
        One scale per channel, in HU rounded to 0.001: percentiles 0.5 and 99.5, mean, standard deviation.

    Raises:
        UserError: if no voxel is labelled, or all of them have the same value.
    """
    counter = _Counter(cohort, tuple(channels), digests, folder, on_error)
    total: Counts = np.zeros((len(channels), _NUM_BINS), np.int64)
    for rows, bins, numbers in counter.of_cases(cases):
        total[rows, bins] += numbers
    if not total.any():
        raise UserError(
            f"data.window=auto: no voxel of any class in the {len(cases)} training cases, so there is no foreground to"
            " measure. Check the labels with aunet doctor, or set data.window=[lowest, highest] in HU."
        )
    return [_scale(row, channel) for row, channel in zip(total, channels, strict=True)]


def histogram(values: NDArray[np.floating]) -> Counts:
    """Count ``values`` (HU) in bins of 1/8 HU: (bins,)."""
    counts: Counts = np.zeros(_NUM_BINS, np.int64)
    for part in np.array_split(values, 1 + values.size // _VOXELS_AT_ONCE):
        bins = np.rint(np.clip(part, -_LARGEST, _LARGEST) * _BINS_PER_HU).astype(np.int64) + _LARGEST * _BINS_PER_HU
        counts += np.bincount(bins, minlength=_NUM_BINS)
    return counts


def percentile_of_counts(counts: Counts, percentile: float) -> float:
    """Return the percentile (HU) of the counted values, interpolated between neighbours as by ``numpy.percentile``."""
    cumulated = np.cumsum(counts)
    place = (int(cumulated[-1]) - 1) * percentile / 100
    below = int(place)
    ranks = np.minimum([below + 1, below + 2], cumulated[-1])  # of the two neighbours, from 1
    lower, upper = _hounsfield(np.searchsorted(cumulated, ranks))
    return float(lower + (upper - lower) * (place - below))


def _scale(counts: Counts, channel: int) -> IntensityScale:
    present = np.flatnonzero(counts)
    values, weights = _hounsfield(present), counts[present]
    mean = float(np.average(values, weights=weights))
    sd = float(np.sqrt(np.average(np.square(values - mean), weights=weights)))
    low, high = (percentile_of_counts(counts, percentile) for percentile in PERCENTILES)
    if low == high:
        raise UserError(
            f"data.window=auto: 99 % of the labelled voxels of channel {channel} are {low:g} HU, so there is no window."
            " Check the images with aunet doctor, or set data.window=[lowest, highest] in HU."
        )
    return IntensityScale((round(low, 3), round(high, 3)), round(mean, 3), round(sd, 3))


def _hounsfield(bins: NDArray[np.integer]) -> NDArray[np.float64]:
    return (bins - _LARGEST * _BINS_PER_HU) / _BINS_PER_HU


@dataclass(frozen=True)
class _Counter:
    """A counter of the labelled voxels of cases, which reads earlier counts if there are any."""

    cohort: Cohort
    channels: tuple[int, ...]
    digests: ContentDigests
    folder: Path
    on_error: str

    def of_cases(self, cases: Sequence[Case]) -> Iterator[NDArray[np.int64]]:
        """Yield for each case that can be read (3, N): place of the channel in ``channels``, bin, number of voxels."""
        pool = ThreadPoolExecutor(self._num_threads(cases))
        try:
            counted = shown(pool.map(self._of_case, cases), "Measuring intensities", len(cases))
            yield from (found for found in counted if found is not None)
        finally:
            pool.shutdown(cancel_futures=True)

    def _of_case(self, case: Case) -> NDArray[np.int64] | None:
        try:
            path = self.folder / f"{self._key(case)}.npy"
            found = _read(path, len(self.channels))
            return self._count(case, path) if found is None else found
        except UserError:
            if self.on_error != "skip":
                raise
            return None

    def _count(self, case: Case, path: Path) -> NDArray[np.int64]:
        volumes, label = read_scan_and_reference(case, self.cohort)
        is_foreground = (label.array > 0) & (label.array != IGNORED)
        counts = np.stack([histogram(volumes[channel].array[is_foreground]) for channel in self.channels])
        rows, bins = np.nonzero(counts)
        found = np.stack([rows, bins, counts[rows, bins]])
        with replaced_atomically(path) as temporary:
            np.save(temporary, found, allow_pickle=False)
        return found

    def _key(self, case: Case) -> str:
        """Return a key of all that decides the counts: the files' content, and which values are foreground."""
        content = {
            "version": _VERSION,
            "digest": self.digests.of_case(case),
            "masks": [value for value, _ in case.masks],
            "foreground": sorted(
                value for value, index in self.cohort.class_of_value.items() if index not in (0, IGNORED)
            ),
            "has_instances": self.cohort.has_instances,
            "channels": self.channels,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def _num_threads(self, cases: Sequence[Case]) -> int:
        loads: list[Load] = []
        for case in cases:
            with suppress(UserError):  # raised again when the case is read
                loads.append(load_of(case, None, self.cohort.num_channels))
        return num_threads(loads) if loads else 1


def _read(path: Path, num_channels: int) -> NDArray[np.int64] | None:
    """Read earlier counts; return None if they are missing or damaged, as they can be counted again."""
    try:
        found: object = np.load(path, allow_pickle=False)
    except Exception:  # noqa: BLE001 - the header of an array is parsed as Python, so damage ends in errors of any kind
        return None
    if not isinstance(found, np.ndarray) or found.dtype != np.int64 or found.ndim != 2 or len(found) != 3:
        return None
    counts = cast(NDArray[np.int64], found)
    is_within = counts[0].max(initial=0) < num_channels and counts[1].max(initial=0) < _NUM_BINS
    return counts if is_within and bool((counts >= 0).all()) else None
