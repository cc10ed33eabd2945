"""Evidence of files and voxels on the modality of a dataset, and its check against the modality that is given."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TypeVar

from aunet.data.cohort.case import Case, Cohort, Modality
from aunet.data.cohort.modality_names import modality_of_words, shared_modality, words_of
from aunet.data.io.dicom_files import files_of_scan, is_dicom, is_folder_of_files
from aunet.data.io.dicom_slices import read_dicom_file
from aunet.data.io.formats import DICOM, format_of_name
from aunet.data.io.volume import read_channels, stem
from aunet.data.preprocessing.image_intensities import PERCENTILES, Intensities, measured_intensities
from aunet.data.preprocessing.intensity_scale import Window
from aunet.errors import UserError

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")

# Cases that are read, evenly spread over the dataset, as the first alone may be unusual.
_MOST_CASES = 3
_DICOM_MODALITIES: dict[str, Modality] = {"CT": "ct", "MR": "mr", "PT": "pet"}
# HU. Half a percent of air and a tenth of soft tissue: even a slab cut close to the body has them. Beyond 2500 lies
# metal only: images that fill a range of numbers evenly, such as phase maps, reach further.
_AIR, _BRIGHTEST = -700.0, 2500.0
_LEAST_SOFT_TISSUE = 0.1
_LOWEST = -5000.0
# HU: in a CT without air, around or within the body, most voxels lie below 300 unless they are bone.
_NO_AIR, _BRIGHT = -200.0, 300.0
# HU span from air to bone, and a byte holds 256 values. In a CT cropped within the body fewer voxels are the darkest.
_LEAST_SPAN, _BYTE, _BACKGROUND = 50.0, 255.0, 0.2


@dataclass(frozen=True)
class _Sample:
    """One channel of a case that was read.

    ``bright`` is the share of its voxels above any soft tissue, ``clipped`` the share outside the window.
    """

    case_id: str
    intensities: Intensities
    bright: float
    clipped: float

    @property
    def values(self) -> str:
        """Return its lowest and highest value in words."""
        return f"values from {self.intensities.lowest:g} to {self.intensities.highest:g} in case {self.case_id}"


def looks_like_ct(found: Intensities) -> bool:
    """Return whether the voxels can hardly be anything but HU: air near -1000, soft tissue, and little beyond bone."""
    is_air = found.lowest >= _LOWEST and found.percentiles[0] <= _AIR
    return is_air and found.percentiles[-1] <= _BRIGHTEST and found.share_of_soft_tissue >= _LEAST_SOFT_TISSUE


def cannot_be_hounsfield(found: Intensities) -> bool:
    """Return whether most voxels, or most outside a dark background, exceed soft tissue and none is as dark as air."""
    middle = max(found.percentiles[PERCENTILES.index(50.0)], found.bright_median)
    return found.lowest > _NO_AIR and middle > _BRIGHT


def doubt_hounsfield(found: Intensities) -> str | None:
    """Return why voxels are hardly HU though they might be, as of a windowed or masked CT; None without a doubt."""
    if (found.lowest == 0 and found.highest <= _BYTE) or found.highest - found.lowest < _LEAST_SPAN:
        return "scaled or standardised, the HU are lost"
    if found.lowest > _NO_AIR and found.share_of_dark > _BACKGROUND:
        return f"{found.share_of_dark:.0%} of it is a background near {found.lowest:g}, and air is near -1000 HU"
    return None


def decide_modalities(cohort: Cohort, on_error: str = "stop") -> Cohort:
    """Return ``cohort`` with the modality of every channel, judged by files and voxels if it is not known.

    Three things count as evidence: the modality in DICOM headers, a word such as T1w or CT that the names of all files
    of a channel share, and voxels that look like HU in every sampled case.

    Raises:
        UserError: if there is no evidence for a channel, or if it contradicts itself.
    """
    if None not in cohort.channel_modalities:
        return cohort
    decided: list[Modality] = []
    for channel, known in enumerate(cohort.channel_modalities):
        found: set[Modality] = {known} if known else _evidence(cohort, channel, on_error)
        if len(found) != 1:
            raise _undecided(cohort, channel, sorted(found))
        decided.append(found.pop())
    _log.info("Modality: %s, judged by the files, as data.modality is not set.", ", ".join(decided))
    return replace(cohort, modality=shared_modality(decided), modalities=tuple(decided))


def check_modalities(
    cohort: Cohort,
    modalities: Sequence[str],
    cases: Sequence[Case],
    window: Window | str | None,
    on_error: str = "stop",
) -> None:
    """Compare the modality of every channel with the DICOM headers and voxels of some cases.

    Args:
        cohort: the dataset, for messages.
        modalities: those of its channels.
        cases: the training cases.
        window: HU to which CT is clipped, "auto" if they are measured, None if nothing is clipped.
        on_error: "skip" leaves out a case that cannot be read.

    Raises:
        UserError: for channels said to be CT whose voxels are not HU, if a window would clip them.
    """
    for channel, modality in enumerate(modalities):
        tag = _dicom_modality(_files_of_channel(cases, channel))
        if tag not in (None, modality):
            _log.warning("data.modality=%s: the DICOM headers of channel %d say %s.", modality, channel, tag)
        samples = [] if modality == "picture" else list(_samples(cases, channel, window, on_error))
        if modality == "ct":
            _check_ct(cohort, channel, samples, window)
        elif samples and all(looks_like_ct(sample.intensities) for sample in samples):
            _log.warning(
                "data.modality=%s: channel %d of %s looks like CT: %s, with air and soft tissue in HU. If it is CT, set"
                " data.modality=ct.",
                *(modality, channel, cohort.root or cohort.name, samples[0].values),
            )


def _check_ct(cohort: Cohort, channel: int, samples: Sequence[_Sample], window: Window | str | None) -> None:
    contradicting = [sample for sample in samples if cannot_be_hounsfield(sample.intensities)]
    if 2 * len(contradicting) <= len(samples):
        _warn_of_doubts(cohort, channel, samples)
        return
    bright, clipped = median(sample.bright for sample in samples), median(sample.clipped for sample in samples)
    problem = (
        f"channel {channel} of {cohort.root or cohort.name} is taken for CT, but its voxels are not HU:"
        f" {contradicting[0].values}; in the median of {len(samples)} cases {bright:.0%} of the voxels lie above"
        f" {_BRIGHT:g} HU, brighter than soft tissue, and none is as dark as air"
    )
    if window is None:
        _log.warning("data.modality=ct: %s. If it is not CT, set data.modality=mr, pet or picture.", problem)
        return
    told = "" if isinstance(window, str) else f"; data.window={list(window)} would clip {clipped:.0%}"
    raise UserError(
        f"data.modality=ct: {problem}{told}. Set data.modality=mr (or pet, picture). If it is CT, export it again with"
        " its rescale slope and intercept, or set data.window=null, which clips nothing."
    )


def _warn_of_doubts(cohort: Cohort, channel: int, samples: Sequence[_Sample]) -> None:
    doubts = [(sample, doubt) for sample in samples if (doubt := doubt_hounsfield(sample.intensities))]
    if doubts and 2 * len(doubts) > len(samples):
        sample, doubt = doubts[0]
        _log.warning(
            "data.modality=ct: channel %d of %s may not be CT: %s, %s. If it is not, set data.modality=mr (or pet,"
            " picture).",
            *(channel, cohort.root or cohort.name, sample.values, doubt),
        )


def _undecided(cohort: Cohort, channel: int, found: Sequence[Modality]) -> UserError:
    place = cohort.root or cohort.name
    reason = (
        f"the files of channel {channel} of {place} contradict each other: they look like {' and '.join(found)}"
        if found
        else f"nothing in {place} says what channel {channel} is: no DICOM header, no name such as CT or T1w, no voxels"
        " that can only be HU"
    )
    words = ",".join(["ct", *("mr" for _ in range(cohort.num_channels - 1))])
    several = f", or of {cohort.num_channels} channels a list such as data.modality=[{words}]"
    return UserError(
        f"data.modality is not set, and {reason}. Set data.modality=ct or mr (pet; picture for anything else)"
        f"{several if cohort.num_channels > 1 else ''}."
    )


def _evidence(cohort: Cohort, channel: int, on_error: str) -> set[Modality]:
    """Return every modality that some evidence supports."""
    found: set[Modality | None] = set()
    if paths := _files_of_channel(cohort.cases, channel):
        found.add(modality_of_words(frozenset.intersection(*(words_of(stem(path)) for path in paths))))
        found.add(_dicom_modality(paths))
    samples = list(_samples(cohort.cases, channel, None, on_error))
    if samples and all(looks_like_ct(sample.intensities) for sample in samples):
        found.add("ct")
    return {modality for modality in found if modality is not None}


def _files_of_channel(cases: Sequence[Case], channel: int) -> list[Path]:
    """Return file ``channel`` of each case that has one; a file of several channels counts for the first one only."""
    return [case.images[channel] for case in cases if channel < len(case.images)]


def _samples(cases: Sequence[Case], channel: int, window: Window | str | None, on_error: str) -> Iterator[_Sample]:
    """Yield one channel of some cases; if ``on_error`` is "skip", leave out those that cannot be read."""
    low, high = (-math.inf, math.inf) if window is None or isinstance(window, str) else window
    for case in _spread(cases):
        try:
            volumes = [volume for path in case.images for volume in read_channels(path)]
        except UserError:  # reported when the case is prepared
            if on_error != "skip":
                raise
            continue
        for volume in volumes[channel : channel + 1]:
            outside = (volume.array < low) | (volume.array > high)
            bright = float((volume.array > _BRIGHT).mean())
            yield _Sample(case.case_id, measured_intensities(volume.array), bright, float(outside.mean()))


def _spread(items: Sequence[_Item]) -> list[_Item]:
    """Return some of ``items``, the first and the last included, at equal distances."""
    number = min(_MOST_CASES, len(items))
    return [items[round(index * (len(items) - 1) / max(1, number - 1))] for index in range(number)]


def _dicom_modality(paths: Sequence[Path]) -> Modality | None:
    """Return the modality in the headers of some of the DICOM series ``paths``; None if they differ or one has none."""
    return shared_modality(modality_of_file(path) for path in _spread(paths))


def modality_of_file(path: Path) -> Modality | None:
    """Return the modality in the header of the first slice; None for a file of another format."""
    if not is_folder_of_files(path) and format_of_name(path) is not DICOM:
        return None
    headers = (read_dicom_file(file) for file in files_of_scan(path) if is_dicom(file))
    return next((_DICOM_MODALITIES.get(header.modality) for header in headers if header.slices), None)
