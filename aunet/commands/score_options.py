"""The options of `aunet evaluate` that say which classes are scored, and how."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aunet.errors import UserError

if TYPE_CHECKING:
    from aunet.metrics.label_map_scores import Scoring

_ANY = "any"


def parse_scoring(words: Sequence[str]) -> "Scoring":
    """Parse ``["2", "spleen=3"]``: tolerances in mm, of all classes and of one; raise UserError for anything else."""
    from aunet.metrics.label_map_scores import Scoring

    tolerances: dict[str, float] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        try:
            tolerance = float(number)
        except ValueError:
            tolerance = math.nan
        if not 0 <= tolerance < math.inf or name in tolerances:
            raise UserError(f"--tolerance {word}: write mm, or NAME=MM once for a class, as in 2 pancreas=3.")
        tolerances[name] = tolerance
    of_all = tolerances.pop("", None)
    return Scoring(tolerances) if of_all is None else Scoring(tolerances, of_all)


def numbers_objects(words: Sequence[str]) -> bool:
    """Return whether the classes are ``["nucleus=any"]``: every value above 0 is an object of the one class."""
    if len(words) != 1:
        return False
    name, _, text = words[0].partition("=")
    return bool(name) and text == _ANY


def parse_classes(words: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Parse ``["spleen=1", "kidney=2+3"]``: the values of each class; raise UserError for anything else.

    A value may be in several classes, regions that overlap, if one of them lists several. ``["nucleus=any"]`` is one
    class, of label maps that ``numbers_objects`` says to merge.

    Examples:
        >>> parse_classes(["whole=1+2", "core=2"])
        {'whole': (1, 2), 'core': (2,)}
    """
    if numbers_objects(words):
        return {words[0].partition("=")[0]: (1,)}
    classes: dict[str, tuple[int, ...]] = {}
    for word in words:
        name, _, text = word.partition("=")
        parts = text.split("+")
        if name and text == _ANY:
            raise UserError(f"--classes {word}: any value is of this class, so it must be the only one. Name no other.")
        if not name or not all(part.isdecimal() and int(part) for part in parts):
            raise UserError(
                f"--classes {word}: write NAME=VALUE with a whole number from 1, as in spleen=1, or several, as in"
                " kidney=2+3."
            )
        values = tuple(int(part) for part in parts)
        if name in classes or values in classes.values() or len(set(values)) < len(values):
            raise UserError(f"--classes {word}: the name or the value appears twice; give each class its own.")
        classes[name] = values
    return classes
