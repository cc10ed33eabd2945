"""Description of a dataset's scans, before any of them is read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from aunet.classes import Labels

Modality = Literal["ct", "mr", "pet", "picture"]


@dataclass(frozen=True)
class Case:
    """One scan: a file per channel, its reference, and the patient it belongs to.

    The reference is one label map, or ``masks``: pairs of a value and the file of its binary mask. ``annotated`` holds
    the classes, background included, that the reference annotates; None means all. Any other class is unknown in the
    scan, not absent. ``copy_group`` is common to patients who have copies of one file. ``class_of_value`` holds pairs
    of a value in the reference and its class, if they are not those of the cohort: a case of another dataset.
    """

    case_id: str
    images: tuple[Path, ...]
    label: Path | None
    group: str = ""
    masks: tuple[tuple[int, Path], ...] = ()
    annotated: frozenset[int] | None = None
    copy_group: str = ""
    class_of_value: tuple[tuple[int, int], ...] = ()
    is_other_background: bool = False

    @property
    def patient(self) -> str:
        """Return the patient, who must stay in one part of a split: all patients with copies of one file are one."""
        return self.copy_group or self.own_patient

    @property
    def own_patient(self) -> str:
        """Return the patient, copies of files disregarded; without a known group, the case itself."""
        return self.group or self.case_id

    @property
    def files(self) -> tuple[Path, ...]:
        """Return all files that the case is read from: the images, then the reference."""
        return (*self.images, *([self.label] if self.label else []), *(path for _, path in self.masks))

    def annotates(self, index: int) -> bool:
        """Return whether the reference annotates class ``index``."""
        return self.annotated is None or index in self.annotated


@dataclass(frozen=True)
class Cohort:
    """The labelled cases of one dataset and their common properties.

    ``class_of_value`` maps the integers in the label files to classes of ``labels``. Other values are refused, or read
    as background if ``is_other_background``. If ``has_instances``, the values number objects instead, and every value
    above 0 is the one class. ``root`` is the folder of the dataset. ``modality`` holds for every channel; it is None if
    it is unknown or if ``modalities`` lists one for each channel. ``foreign`` are the ids of the cases that come from
    another dataset, ``other``, to be tested only; there they have their own names.
    """

    name: str
    cases: tuple[Case, ...]
    labels: Labels
    class_of_value: Mapping[int, int]
    modality: Modality | None
    description: str
    num_channels: int = 1
    is_other_background: bool = False
    has_instances: bool = False
    is_phantom: bool = False
    root: Path | None = None
    modalities: tuple[Modality | None, ...] = ()
    foreign: frozenset[str] = frozenset()
    other: "Cohort | None" = None

    @property
    def own(self) -> "Cohort":
        """Return the cohort without the cases of another dataset."""
        if not self.foreign:
            return self
        return replace(self, cases=tuple(case for case in self.cases if case.case_id not in self.foreign))

    @property
    def channel_modalities(self) -> tuple[Modality | None, ...]:
        """Return the modality of each channel, None if it is unknown."""
        return self.modalities or (self.modality,) * self.num_channels

    @property
    def is_partial(self) -> bool:
        """Return whether any case leaves a class unannotated."""
        return any(case.annotated is not None for case in self.cases)
