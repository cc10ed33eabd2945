"""Checks of one case: of its image, of the classes in its label map, and of where its organs lie."""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from aunet.data.cohort.case import Case, Cohort, Modality
from aunet.data.cohort.class_sides import paired, place_in
from aunet.data.organ_positions import AXIS_WORDS, MIDDLES, flips_upright
from aunet.data.preprocessing.image_intensities import PERCENTILES, Intensities
from aunet.data.preprocessing.modality_evidence import cannot_be_hounsfield, doubt_hounsfield
from aunet.doctor.case_facts import CaseFacts
from aunet.doctor.finding import (
    CONSTANT_IMAGE,
    EMPTY_LABEL,
    NO_AIR,
    NOT_ANNOTATED,
    NOT_HOUNSFIELD,
    SWAPPED_SIDES,
    UNKNOWN_VALUES,
    UPSIDE_DOWN,
    Finding,
)
from aunet.messages import shortened

# HU. Air is -1000; lungs and padding reach it too. Some scanners pad with even lower values.
_AIR = -700
_LOWEST, _HIGHEST = -5000, 35000
_LEAST_SOFT_TISSUE = 0.01
# Range of the 95th percentile if the intercept of -1024 was not added.
_UNRESCALED = (800, 1600)
_MOST_SHOWN = 8
Point = tuple[float, float, float]

# mm between the centres of two organs along right-left: this far apart, no healthy patient has them exchanged.
_CLEARLY_APART = 60.0
_MOST_TOLD = 3
_OTHER_NAMES = {"esophagus": "oesophagus", "gall_bladder": "gallbladder"}


def check_image(case_id: str, intensities: Intensities, modality: Modality | None) -> Iterator[Finding]:
    """Yield the findings about the intensities of the first channel."""
    if intensities.lowest == intensities.highest:
        yield Finding(CONSTANT_IMAGE, case_id, f"every voxel is {intensities.lowest:g}")
    elif modality == "ct":
        yield from _check_hounsfield(case_id, intensities)


def _check_hounsfield(case_id: str, found: Intensities) -> Iterator[Finding]:
    low, bright = found.percentiles[0], found.percentiles[PERCENTILES.index(95.0)]
    span = f"values from {found.lowest:g} to {found.highest:g}"
    if found.lowest < _LOWEST or found.highest > _HIGHEST:
        yield Finding(NOT_HOUNSFIELD, case_id, f"{span}, beyond what HU can be")
    elif found.lowest > -_UNRESCALED[0] / 4 and _UNRESCALED[0] < bright < _UNRESCALED[1]:
        yield Finding(
            NOT_HOUNSFIELD,
            case_id,
            f"{span}: air would be near 0 and tissue near 1000, as stored before the intercept of -1024 is added",
        )
    elif found.share_of_soft_tissue < _LEAST_SOFT_TISSUE:
        yield Finding(
            NOT_HOUNSFIELD,
            case_id,
            f"{span}: {found.share_of_soft_tissue:.1%} of it is soft tissue (-200 to 300 HU)",
        )
    elif cannot_be_hounsfield(found):
        yield Finding(NOT_HOUNSFIELD, case_id, f"{span}: most of it is brighter than soft tissue, and nothing is air")
    elif doubt := doubt_hounsfield(found):
        yield Finding(NOT_HOUNSFIELD, case_id, f"{span}: {doubt}")
    elif low > _AIR:
        yield Finding(NO_AIR, case_id, f"{span}; air is near -1000 HU")


def check_label(case: Case, cohort: Cohort, facts: CaseFacts) -> Iterator[Finding]:
    """Yield the findings about the values of one label map."""
    unknown = [value for value in facts.values if value not in cohort.class_of_value]
    if unknown and not cohort.is_other_background:
        told = f"values {shortened(unknown, _MOST_SHOWN)}; known are {known_values(cohort)}"
        if cohort.modality == "picture":
            told += "; if they number objects: data.classes='{NAME: any}'"
        yield Finding(UNKNOWN_VALUES, case.case_id, told)
    if not facts.classes and not (unknown and not cohort.is_other_background):
        yield Finding(EMPTY_LABEL, case.case_id, "no voxel of any class")
    elif len(facts.values) == 1 and 0 not in facts.values:
        yield Finding(EMPTY_LABEL, case.case_id, f"every voxel is {next(iter(facts.values))}: no background")


def check_annotations(case: Case, cohort: Cohort, facts: CaseFacts) -> Iterator[Finding]:
    """Yield a finding for each class that the label map marks although the case is said not to annotate it."""
    for index, found in facts.classes.items():
        if not case.annotates(index):
            name = cohort.labels.names[index]
            told = f"{found.num_voxels:,} voxels of {name}, which the case does not annotate"
            yield Finding(NOT_ANNOTATED, case.case_id, told)


def known_values(cohort: Cohort) -> str:
    """List the values that have a class, as in ``0 background, 1 spleen``."""
    name_of = cohort.labels.name_of
    return ", ".join(f"{value} {name_of(index)}" for value, index in sorted(cohort.class_of_value.items()))


def check_positions(case_id: str, centers: Mapping[str, Point]) -> Iterator[Finding]:
    """Yield a finding if the centres (RAS+ mm) of the classes, by their names, contradict the affine or the labels."""
    middles = {_plain(name): np.array(center) for name, center in centers.items()}
    x = {name: float(middle[0]) for name, middle in middles.items()}
    names = list(x)
    pairs = [(names[left], names[right]) for left, right in paired(names)]
    wrong_pairs = [(left, right) for left, right in pairs if x[left] > x[right]]
    known = {name: middle for name, middle in middles.items() if name in MIDDLES}
    apart = [(left, right) for left, right in _organs_apart(known) if (left, right) not in pairs]
    mirrored = [(left, right) for left, right in apart if x[left] > x[right]]
    if mirrored and len(mirrored) == len(apart) and len(wrong_pairs) == len(pairs):
        yield Finding(SWAPPED_SIDES, case_id, f"the scan is mirrored: {_told([*wrong_pairs, *mirrored])}")
    elif wrong_pairs:
        yield Finding(SWAPPED_SIDES, case_id, _told(wrong_pairs))
    flips = flips_upright(known)
    turned = [words for words, flip in zip(AXIS_WORDS[1:], flips[1:], strict=True) if flip < 0]
    if turned:
        yield Finding(UPSIDE_DOWN, case_id, f"by where its organs lie, {' and '.join(turned)} are exchanged")


def _organs_apart(known: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the pairs (left, right) of organs that lie far apart in everybody."""
    places = {name: middle for name in known if (middle := MIDDLES[name]) is not None}
    ordered = sorted(places, key=lambda name: places[name][0])
    return [(left, right) for left, right in combinations(ordered, 2) if _are_apart(places, left, right)]


def _are_apart(places: Mapping[str, Point], left: str, right: str) -> bool:
    return places[right][0] - places[left][0] > _CLEARLY_APART


def _told(pairs: list[tuple[str, str]]) -> str:
    return shortened([f"{left} lies right of {right}" for left, right in pairs], _MOST_TOLD)


def _plain(name: str) -> str:
    """Return a name as ``MIDDLES`` spells it: ``Right Kidney``, ``kidney-R`` -> ``right_kidney``."""
    place = place_in(name)
    plain = place.structure if place.end is None else f"{('left', 'right')[place.end]}_{place.structure}"
    return _OTHER_NAMES.get(plain, plain)
