"""Coded names of segments: SNOMED CT codes of classes by their names, and codes of one's own from a JSON file.

The codes are those that DICOM lists for anatomy (PS3.16), in the edition that pydicom contains. A class without one is
coded as tissue, as 3D Slicer codes unknown segments, and keeps its name as the label of the segment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom.sr.coding import Code

from aunet.classes import matching_name
from aunet.errors import UserError
from aunet.files import JsonObject, read_json_object

ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
ABNORMALITY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
TISSUE = Code("85756007", "SCT", "Tissue")
SIDES = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}

_REMEDY = 'It must hold {"CLASS": {"value": "15776009", "scheme": "SCT", "meaning": "Pancreas"}}, "side" is optional.'
_KEYS = ("value", "scheme", "meaning")


@dataclass(frozen=True)
class SegmentCode:
    """A kind of structure, its category (anatomy, abnormality or tissue), and the side of the body if it is paired."""

    kind: Code
    category: Code = ANATOMY
    side: Code | None = None

    @property
    def is_generic(self) -> bool:
        """Return whether the code says no more than that the segment is tissue."""
        return self.kind == TISSUE


# By name without separators; the names are those of AMOS, BTCV, FLARE, MSD and TotalSegmentator.
_CODES: dict[str, tuple[str, str]] = {
    "adrenalgland": ("23451007", "Adrenal gland"),
    "aorta": ("15825003", "Aorta"),
    "bladder": ("89837001", "Bladder"),
    "brachiocephalictrunk": ("12691009", "Innominate artery"),
    "brachiocephalicvein": ("8887007", "Brachiocephalic vein"),
    "brain": ("12738006", "Brain"),
    "clavicle": ("51299004", "Clavicle"),
    "colon": ("71854001", "Colon"),
    "commoncarotidartery": ("32062004", "Common carotid artery"),
    "duodenum": ("38848004", "Duodenum"),
    "esophagus": ("32849002", "Esophagus"),
    "femur": ("71341001", "Femur"),
    "gallbladder": ("28231008", "Gallbladder"),
    "heart": ("80891009", "Heart"),
    "hepaticvessel": ("8993003", "Hepatic vein"),
    "hip": ("29836001", "Hip"),
    "hippocampus": ("5366008", "Hippocampus"),
    "humerus": ("85050009", "Humerus"),
    "iliacartery": ("73634005", "Common iliac artery"),
    "iliacvein": ("46027005", "Common iliac vein"),
    "inferiorvenacava": ("64131007", "Inferior vena cava"),
    "kidney": ("64033007", "Kidney"),
    "leftatrium": ("82471001", "Left atrium"),
    "leftventricle": ("87878005", "Left ventricle"),
    "liver": ("10200004", "Liver"),
    "lung": ("39607008", "Lung"),
    "lunglowerlobe": ("90572001", "Lower lobe of lung"),
    "lungmiddlelobe": ("72481006", "Middle lobe of right lung"),
    "lungupperlobe": ("45653009", "Upper lobe of lung"),
    "mandible": ("91609006", "Mandible"),
    "myocardium": ("49848007", "Left Ventricle Myocardium"),
    "ovary": ("15497006", "Ovary"),
    "pancreas": ("15776009", "Pancreas"),
    "parotidgland": ("45289007", "Parotid gland"),
    "portalvein": ("32764006", "Portal vein"),
    "prostate": ("41216001", "Prostate"),
    "pulmonaryartery": ("81040000", "Pulmonary artery"),
    "pulmonaryvein": ("122972007", "Pulmonary vein"),
    "rectum": ("34402009", "Rectum"),
    "rib": ("113197003", "Rib"),
    "rightatrium": ("73829009", "Right atrium"),
    "rightventricle": ("53085002", "Right ventricle"),
    "sacrum": ("54735007", "Sacrum"),
    "scapula": ("79601000", "Scapula"),
    "skull": ("89546000", "Skull"),
    "smallintestine": ("30315005", "Small intestine"),
    "spinalcord": ("2748008", "Spinal cord"),
    "spleen": ("78961009", "Spleen"),
    "splenicvein": ("35819009", "Splenic vein"),
    "sternum": ("56873002", "Sternum"),
    "stomach": ("69695003", "Stomach"),
    "subclavianartery": ("36765005", "Subclavian artery"),
    "superiorvenacava": ("48345005", "Superior vena cava"),
    "thyroid": ("69748006", "Thyroid"),
    "trachea": ("44567001", "Trachea"),
    "uterus": ("35039007", "Uterus"),
    "vertebra": ("51282000", "Vertebra"),
    "vertebrac1": ("14806007", "C1 vertebra"),
    "vertebrac2": ("39976000", "C2 vertebra"),
    "vertebrac3": ("113205007", "C3 vertebra"),
    "vertebrac4": ("5329002", "C4 vertebra"),
    "vertebrac5": ("36978003", "C5 vertebra"),
    "vertebrac6": ("36054005", "C6 vertebra"),
    "vertebrac7": ("87391001", "C7 vertebra"),
    "vertebrat1": ("64864005", "T1 vertebra"),
    "vertebrat2": ("53733008", "T2 vertebra"),
    "vertebrat3": ("1626008", "T3 vertebra"),
    "vertebrat4": ("73071006", "T4 vertebra"),
    "vertebrat5": ("56401006", "T5 vertebra"),
    "vertebrat6": ("45296009", "T6 vertebra"),
    "vertebrat7": ("62487009", "T7 vertebra"),
    "vertebrat8": ("11068009", "T8 vertebra"),
    "vertebrat9": ("82687006", "T9 vertebra"),
    "vertebrat10": ("7610001", "T10 vertebra"),
    "vertebrat11": ("12989004", "T11 vertebra"),
    "vertebrat12": ("23215003", "T12 vertebra"),
    "vertebral1": ("66794005", "L1 vertebra"),
    "vertebral2": ("14293000", "L2 vertebra"),
    "vertebral3": ("36470004", "L3 vertebra"),
    "vertebral4": ("11994002", "L4 vertebra"),
    "vertebral5": ("49668003", "L5 vertebra"),
}
# Abnormal structures, by a word of the class's name.
_ABNORMALITIES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("cancer", "neoplasm", "tumor", "tumour"), ("108369006", "Neoplasm")),
    "cyst": ("367643001", "Cyst"),
    **dict.fromkeys(("edema", "oedema"), ("79654002", "Edema")),
    "lesion": ("52988006", "Lesion"),
}
_UNSPECIFIC = _ABNORMALITIES["lesion"]
_ABNORMAL = rf"\b(?:{'|'.join(_ABNORMALITIES)})s?\b"
# Words of which only those before them say what is labelled: "liver without tumor", "edema around tumor", "non-tumor";
# but "non-enhancing tumor" is one.
_REST = re.compile(
    r"\b(?:around|beside|beyond|excl|except|excluding|in|incl|including|minus|near|no|not|of|outside|surrounding|with|within"
    rf"|without|non(?= {_ABNORMAL}))\b.*"
)
_ATTRIBUTE = re.compile(_ABNORMAL + r" (?:adjacent|bearing|containing|free|like|negative)\b")
_HEALTHY = re.compile(r"\b(?:background|healthy|normal|unaffected|uninvolved)\b")
# Words that name something at an abnormality: "tumor margin".
_AT_IT = frozenset(("bed", "border", "boundary", "capsule", "edge", "margin", "margins", "shell", "vessel", "wall"))
_CONJUNCTIONS = frozenset(("and", "or", "plus"))
_SYNONYMS = {
    "adrenal": "adrenalgland",
    "clavicula": "clavicle",
    "femoralhead": "femur",
    "hepaticvessels": "hepaticvessel",
    "iliacvena": "iliacvein",
    "oesophagus": "esophagus",
    "postcava": "inferiorvenacava",
    "smallbowel": "smallintestine",
    "thyroidgland": "thyroid",
    "urinarybladder": "bladder",
    "vertebras1": "vertebra",
}


def code_of_class(name: str) -> SegmentCode:
    """Return the code of a class by its name, in any case and with any separators.

    Examples:
        >>> code_of_class("Right Kidney").kind.meaning, code_of_class("Right Kidney").side.meaning
        ('Kidney', 'Right')
        >>> code_of_class("vertebrae_L3").kind.meaning, code_of_class("prostate_uterus").kind.meaning
        ('L3 vertebra', 'Tissue')
        >>> code_of_class("liver_tumor").kind.meaning, code_of_class("tumor-free liver").kind.meaning
        ('Neoplasm', 'Liver')
    """
    words = _split(name)
    meant = _structure(words)
    if abnormal := [found for word in meant if (found := _abnormality(word))]:
        kind = _common_kind(meant, abnormal)
        return SegmentCode(_snomed(kind), ABNORMALITY, _side_of(words)) if kind else SegmentCode(TISSUE, TISSUE)
    if found := _find(meant):  # a side that belongs to the name, as in "left ventricle", is not repeated
        return SegmentCode(_snomed(found), side=_side_of([word for word in words if word not in meant]))
    without_side = [word for word in meant if word not in SIDES]
    unnumbered = [word for word in without_side if not word.isdigit()]
    if found := _find(without_side) or _find(unnumbered):
        return SegmentCode(_snomed(found), side=_side_of(words))
    return SegmentCode(TISSUE, TISSUE, _side_of(words))


def read_codes(file: Path) -> dict[str, SegmentCode]:
    """Read codes of one's own by class name: value, scheme, meaning and perhaps side (left or right) of each.

    Raises:
        UserError: unless the file is such a JSON object.
    """
    content = read_json_object(file, _REMEDY)
    return {name: _own_code(file, name, entry) for name, entry in content.items()}


def codes_of_classes(names: tuple[str, ...], own: Mapping[str, SegmentCode]) -> list[SegmentCode]:
    """Return the code of each class: that of ``own`` under its name in any spelling, else ours."""
    given = {matching_name(name): code for name, code in own.items()}
    return [given.get(matching_name(name)) or code_of_class(name) for name in names]


def _own_code(file: Path, name: str, entry: JsonObject | object) -> SegmentCode:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) and entry[key] for key in _KEYS):
        raise UserError(f"{file}: {name} is {entry}. {_REMEDY}")
    side = entry.get("side")
    if side is not None and not (isinstance(side, str) and side in SIDES):
        raise UserError(f"{file}: {name}.side is {side}; it must be left or right, or be left out.")
    return SegmentCode(Code(*(str(entry[key]) for key in _KEYS)), side=SIDES[side] if side else None)


def _split(name: str) -> list[str]:
    """Return the words of a class name in lower case; a sign between two structures is "and"."""
    return [word for word in re.split(r"[\W_]+", re.sub(r"[+&/,;|]", " and ", name.casefold())) if word]


def _abnormality(word: str) -> tuple[str, str] | None:
    return _ABNORMALITIES.get(word) or _ABNORMALITIES.get(word.removesuffix("s"))


def _structure(words: list[str]) -> list[str]:
    """Return the words that name the structure itself, without what it is free of, near to or distinguished from."""
    text = _ATTRIBUTE.sub("", _REST.sub("", " ".join(words)))
    if _HEALTHY.search(text):
        text = re.sub(_ABNORMAL, "", _HEALTHY.sub("", text))
    return text.split()


def _common_kind(words: list[str], abnormal: list[tuple[str, str]]) -> tuple[str, str] | None:
    """Return what ``words`` name, which has the abnormalities ``abnormal``; None if it is more, or something at them.

    The last of several words is the noun ("tumor edema"), unless it is unspecific ("tumor lesion").
    """
    if not _AT_IT.isdisjoint(words):
        return None
    if _CONJUNCTIONS.isdisjoint(words):
        return next((kind for kind in reversed(abnormal) if kind != _UNSPECIFIC), _UNSPECIFIC)
    others = [word for word in words if word not in _CONJUNCTIONS and word not in SIDES and not _abnormality(word)]
    return None if others else (abnormal[0] if len(set(abnormal)) == 1 else _UNSPECIFIC)


def _find(words: list[str]) -> tuple[str, str] | None:
    """Return the code of a name, of its plural, or of a vertebra with its number."""
    name = "".join(words).replace("vertebrae", "vertebra")
    for spelling in (name, name.removesuffix("s")):
        if found := _CODES.get(_SYNONYMS.get(spelling, spelling)):
            return found
    return None


def _side_of(words: list[str]) -> Code | None:
    """Return the only side among ``words``; None for both, as in "left and right lung"."""
    named = set(words) & set(SIDES)
    return SIDES[named.pop()] if len(named) == 1 else None


def _snomed(code: tuple[str, str]) -> Code:
    return Code(code[0], "SCT", code[1])
