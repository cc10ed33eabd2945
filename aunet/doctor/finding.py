"""Kinds of findings: how serious each is, and how to remedy it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Severity of a finding. ERROR: the case cannot be used. WARNING: it can, but look at it. NOTE: good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Kind:
    """A kind of finding."""

    name: str
    severity: Severity
    remedy: str


@dataclass(frozen=True)
class Finding:
    """One finding; ``case_id`` is empty if it concerns the whole cohort or a case that was never listed."""

    kind: Kind
    case_id: str
    message: str


NOT_LISTED = Kind(
    "not listed", Severity.ERROR, "Put the file in its place, or leave the case out: data.on_error=skip does."
)
UNREADABLE = Kind("cannot be read", Severity.ERROR, "Do what it says, or leave the case out: data.on_error=skip does.")
MISSING_PACKAGE = Kind(
    "package missing", Severity.ERROR, "Install it and run aunet doctor again: the files may be sound."
)
OTHER_GRID = Kind(
    "image and label differ in geometry",
    Severity.ERROR,
    "Resample the label onto the image; if the picture shows that the voxels fit, copy the image's affine.",
)
UNKNOWN_VALUES = Kind(
    "unknown label values", Severity.ERROR, "Name them in data.classes, or take them as background: data.other_labels."
)
CONSTANT_IMAGE = Kind("constant image", Severity.ERROR, "Export the scan again, or leave the case out.")
EMPTY_LABEL = Kind(
    "empty label", Severity.WARNING, "Outline the case; keep it only if nothing of the classes is in the scan."
)
SWAPPED_SIDES = Kind(
    "left and right exchanged",
    Severity.WARNING,
    "Look at the picture. Repair the affine if the scan is mirrored, else exchange the values of the two labels.",
)
UPSIDE_DOWN = Kind("axes exchanged", Severity.WARNING, "Look at the picture and repair the affine of image and label.")
SAME_IMAGE = Kind(
    "same image as another case",
    Severity.WARNING,
    "Keep one of them. Copies of a file stay on one side of every split; the same scan stored anew does so only if a"
    " table of cases names one patient for both.",
)
SAME_LABEL = Kind(
    "same label as another case",
    Severity.WARNING,
    "Was a label map copied to the wrong case? Copies of a file stay on one side of every split.",
)
NO_MODALITY = Kind(
    "modality not known", Severity.WARNING, "Set data.modality=ct, mr, pet or picture; without it nothing is trained."
)
NOT_HOUNSFIELD = Kind(
    "intensities are not HU",
    Severity.WARNING,
    "Set data.modality if it is not CT; else export the scan with its rescale slope and intercept applied.",
)
OTHER_INTENSITY = Kind(
    "intensity unlike the other cases", Severity.WARNING, "Look at the picture: shifted numbers, or a misplaced label?"
)
OTHER_VOLUME = Kind(
    "volume unlike the other cases", Severity.WARNING, "Look at the picture: part of the organ, or more than it?"
)
OTHER_SPACING = Kind(
    "voxels unlike the other cases", Severity.WARNING, "Is the unit mm? Compare with the scan as the scanner made it."
)
NO_ROOM = Kind("too little disk", Severity.WARNING, "Free some space, or set data.cache= to a folder on another disk.")
NO_AIR = Kind("no air in a CT", Severity.NOTE, "Fine for a scan cropped inside the body; else look at its window.")
ABSENT_CLASS = Kind(
    "class absent", Severity.NOTE, "Fine if the organ is missing; if it was not outlined, write null for its class."
)
NOT_ANNOTATED = Kind(
    "marked, but not annotated",
    Severity.NOTE,
    "Fine if its outline is incomplete: nothing is learned from it. Else add the class to the column annotated.",
)
SAME_PATIENT = Kind("several cases of one patient", Severity.NOTE, "They are kept on one side of every split.")
OTHER_ORIENTATION = Kind("stored in another orientation", Severity.NOTE, "Nothing to do: they are read as RAS.")
REMARK = Kind("remark of the reader", Severity.NOTE, "See the message.")
KINDS = (
    NOT_LISTED,
    UNREADABLE,
    MISSING_PACKAGE,
    OTHER_GRID,
    UNKNOWN_VALUES,
    CONSTANT_IMAGE,
    EMPTY_LABEL,
    SWAPPED_SIDES,
    UPSIDE_DOWN,
    SAME_IMAGE,
    SAME_LABEL,
    NO_MODALITY,
    NOT_HOUNSFIELD,
    OTHER_INTENSITY,
    OTHER_VOLUME,
    OTHER_SPACING,
    NO_ROOM,
    NO_AIR,
    ABSENT_CLASS,
    NOT_ANNOTATED,
    SAME_PATIENT,
    OTHER_ORIENTATION,
    REMARK,
)
"""In the order they are shown: the serious ones first."""
