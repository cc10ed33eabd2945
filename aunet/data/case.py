"""What a source of data tells about its scans, before any of them is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aunet.labels import Labels

Modality = Literal["ct", "mr", "picture"]


@dataclass(frozen=True)
class Case:
    """One scan: a file per channel, its reference label map if there is one, and the patient it belongs to."""

    case_id: str
    images: tuple[Path, ...]
    label: Path | None
    group: str = ""

    @property
    def patient(self) -> str:
        """What may never stand on both sides of a split; the case itself where no group is known."""
        return self.group or self.case_id


@dataclass(frozen=True)
class Cohort:
    """The labelled cases of one dataset and what holds for all of them.

    ``class_of_value`` maps the integers found in its label files to classes of ``labels``. Values it does not
    name are refused, or read as background where ``is_other_background``. ``has_instances`` says that they number
    objects instead: every value above 0 is the one class.
    """

    name: str
    cases: tuple[Case, ...]
    labels: Labels
    class_of_value: Mapping[int, int]
    modality: Modality
    description: str
    num_channels: int = 1
    is_other_background: bool = False
    has_instances: bool = False
    is_phantom: bool = False
