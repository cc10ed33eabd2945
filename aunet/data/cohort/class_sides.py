"""Class names that name a place in the body, such as left or anterior, and pairs of one structure on both sides."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# For each axis (right-left, back-front, feet-head) the words for its lower and its upper end in RAS+ coordinates.
_LEFT = (
    "left lefts l lt lft lh lhs sin sinister sinistra sinistrum sinistri sinistrae sx sinistro"
    " links linke linker linkes gauche gauches izquierdo izquierda izq esquerdo esquerda esq lewy lewa lewe 左"
)
_RIGHT = (
    "right rights r rt rgt rh rhs dex dexter dextra dextrum dextri dextrae dx destro destra"
    " rechts rechte rechter rechtes droit droite droits droites derecho derecha direito direita prawy prawa prawe 右"
)
_BACK = "posterior post posterius dorsal dorsalis dorsale back hinten hintere hinterer hinteres 后 後"
_FRONT = "anterior ant anterius ventral ventralis ventrale front vorne vordere vorderer vorderes 前"
_LOW = "inferior inf inferius lower caudal caudalis caudale bottom distal distalis untere unterer unteres 下"
_HIGH = "superior sup superius upper cranial cranialis craniale rostral top proximal proximalis obere oberer oberes 上"
_ENDS = tuple(
    (frozenset(low.split()), frozenset(high.split())) for low, high in ((_LEFT, _RIGHT), (_BACK, _FRONT), (_LOW, _HIGH))
)
# Chinese and Japanese names are written without separators.
_GLUED_SIGNS = re.compile("([左右后後前下上])")
# "leftkidney", "kidneyleft"; at least three letters keep "cleft", "bright" and "upright" out.
_GLUED_SIDE = re.compile(r"^(left|right)(?=[a-z]{3})|(?<=[a-z]{3})(left|right)$")
# "lkidney" beside "rkidney"; at least four letters more keep LV and RV, LA and RA out.
_GLUED_LETTER = re.compile(r"^([lr])(?=[a-z]{4})")
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Parts of the heart, the liver and the gut that are called left and right but are not each other's mirror image.
_UNLIKE = re.compile(
    r"^(ventric|atri|auric|append|coronar|cardia|heart|herz|myocard|liver|hepat|leber|foie|portal|colon|colic|gastr)"
)
# Ventricles of the brain are mirror images.
_OF_THE_BRAIN = re.compile(r"^(lateral|lat$|cerebr|brain)")


@dataclass(frozen=True)
class PlacedName:
    """A class name taken apart: the ``end`` of an axis that it names (0 lower, 1 upper, None neither) and the rest."""

    end: int | None
    structure: str

    @property
    def has_mirror_image(self) -> bool:
        """Return whether the same structure on the other side is its mirror image, as far as the name shows."""
        words = self.structure.split("_")
        return any(map(_OF_THE_BRAIN.match, words)) or not any(map(_UNLIKE.match, words))


def place_in(name: str, axis: int = 0) -> PlacedName:
    """Take a class name apart: ``Right Kidney``, ``kidney-R``, ``KidneyRight`` -> (1, "kidney") for axis 0.

    A name with words for both ends, such as "left and right kidney", names neither.
    """
    words = _words(name)
    ends = {end for word in words for end in (0, 1) if word in _ENDS[axis][end]}
    rest = [word for word in words if not any(word in end for end in _ENDS[axis])]
    return PlacedName(ends.pop(), "_".join(rest)) if len(ends) == 1 else PlacedName(None, "_".join(words))


def paired(names: Sequence[str], axis: int = 0) -> list[tuple[int, int]]:
    """Return the indices (lower end, upper end) of the names that differ in the end of ``axis`` alone.

    Two names of one structure at one end leave it without a pair, as either could be meant.

    Examples:
        >>> paired(["background", "left_kidney", "kidney-right"])
        [(1, 2)]
    """
    places = [place_in(name, axis) for name in names]
    if axis == 0:
        places = [place if place.end is not None else _by_first_letter(place) for place in places]
    members: dict[str, tuple[list[int], list[int]]] = {}
    for index, place in enumerate(places):
        if place.end is not None:
            members.setdefault(place.structure, ([], []))[place.end].append(index)
    return [(low[0], high[0]) for low, high in members.values() if len(low) == len(high) == 1]


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case and without accents."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    separated = _GLUED_SIGNS.sub(r"_\1_", _CAMEL_CASE.sub("_", plain))
    words = [word for word in re.split(r"[\W_]+", separated.casefold()) if word]
    return [part for word in words for part in _GLUED_SIDE.sub(r"_\1\2_", word).split("_") if part]


def _by_first_letter(place: PlacedName) -> PlacedName:
    """Read ``lkidney`` as the left kidney; only sensible if there is an ``rkidney`` too."""
    if match := _GLUED_LETTER.match(place.structure):
        return PlacedName("lr".index(match[1]), place.structure[1:])
    return place
