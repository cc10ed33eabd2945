"""Checks of where organs lie: left ones left of right ones, those under the diaphragm above the kidneys."""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from aunet.data.cohort.class_sides import paired, place_in
from aunet.data.sources.phantom.organ_shapes import AXIS_WORDS, ORGANS, flips_upright
from aunet.doctor.finding import SWAPPED_SIDES, UPSIDE_DOWN, Finding

Point = tuple[float, float, float]

# mm between the centres of two organs along right-left: this far apart, no healthy patient has them exchanged.
_CLEARLY_APART = 60.0
_MOST_TOLD = 3
_OTHER_NAMES = {"esophagus": "oesophagus", "gall_bladder": "gallbladder"}


def check_positions(case_id: str, centers: Mapping[str, Point]) -> Iterator[Finding]:
    """Yield a finding if the centres (RAS+ mm) of the classes, by their names, contradict the affine or the labels."""
    middles = {_plain(name): np.array(center) for name, center in centers.items()}
    x = {name: float(middle[0]) for name, middle in middles.items()}
    names = list(x)
    pairs = [(names[left], names[right]) for left, right in paired(names)]
    wrong_pairs = [(left, right) for left, right in pairs if x[left] > x[right]]
    known = {name: middle for name, middle in middles.items() if name in ORGANS}
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
    places = {name: middle for name in known if (middle := ORGANS[name].middle) is not None}
    ordered = sorted(places, key=lambda name: places[name][0])
    return [(left, right) for left, right in combinations(ordered, 2) if _are_apart(places, left, right)]


def _are_apart(places: Mapping[str, Point], left: str, right: str) -> bool:
    return places[right][0] - places[left][0] > _CLEARLY_APART


def _told(pairs: list[tuple[str, str]]) -> str:
    more = f" and {len(pairs) - _MOST_TOLD} pairs more" if len(pairs) > _MOST_TOLD else ""
    return ", ".join(f"{left} lies right of {right}" for left, right in pairs[:_MOST_TOLD]) + more


def _plain(name: str) -> str:
    """Return a name as ``ORGANS`` spells it: ``Right Kidney``, ``kidney-R`` -> ``right_kidney``."""
    place = place_in(name)
    plain = place.structure if place.end is None else f"{('left', 'right')[place.end]}_{place.structure}"
    return _OTHER_NAMES.get(plain, plain)
