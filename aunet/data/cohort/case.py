"""What a source of data tells about its scans, before any of them is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aunet.labels import Labels

Modality = Literal["ct", "mr", "pet", "picture"]


@dataclass(frozen=True)
class Case:
    """One scan: a file per channel, its reference, and the patient it belongs to.

    The reference is one label map, or ``masks``: pairs of a value and the file of its binary mask. ``annotated`` are
    the classes, background included, that the reference speaks of; None stands for all. What it does not speak of
    is unknown in the scan, not absent.
    """

    case_id: str
    images: tuple[Path, ...]
    label: Path | None
    group: str = ""
    masks: tuple[tuple[int, Path], ...] = ()
    annotated: frozenset[int] | None = None

    @property
    def patient(self) -> str:
        """What may never stand on both sides of a split; the case itself where no group is known."""
        return self.group or self.case_id

    @property
    def files(self) -> tuple[Path, ...]:
        """All it is read from: the images, then the reference."""
        return (*self.images, *([self.label] if self.label else []), *(path for _, path in self.masks))

    def annotates(self, index: int) -> bool:
        """Whether the reference speaks of class ``index``."""
        return self.annotated is None or index in self.annotated


@dataclass(frozen=True)
class Cohort:
    """The labelled cases of one dataset and what holds for all of them.

    ``class_of_value`` maps the integers found in its label files to classes of ``labels``. Values it does not
    name are refused, or read as background where ``is_other_background``. ``has_instances`` says that they number
    objects instead: every value above 0 is the one class. ``root`` is the folder the dataset lies in.
    ``modality`` holds for every channel; None if nothing says it, or if ``modalities`` lists one for each channel.
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

    @property
    def channel_modalities(self) -> tuple[Modality | None, ...]:
        """The modality of each channel, None where nothing says it."""
        return self.modalities or (self.modality,) * self.num_channels

    @property
    def is_partial(self) -> bool:
        """Whether some case leaves a class un-annotated."""
        return any(case.annotated is not None for case in self.cases)
