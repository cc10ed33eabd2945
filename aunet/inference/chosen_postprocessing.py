"""The file ``postprocessing.json`` of a run: the steps that were chosen on its validation cases.

The file may come from a stranger, so it names steps of aunet by words, never by a class to import.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from aunet.errors import UserError
from aunet.files import JsonObject, read_json_object, write_json
from aunet.inference.postprocessing import HoleFilling, LargestComponent, MaskStep, MinimumVolume

Kind = Literal["largest_component", "minimum_volume", "hole_filling"]
_KINDS: Mapping[str, type[MaskStep]] = {
    "largest_component": LargestComponent,
    "minimum_volume": MinimumVolume,
    "hole_filling": HoleFilling,
}
_REMEDY = "Choose again: aunet postprocess RUN."


@dataclass(frozen=True)
class ChosenStep:
    """A step on one class; ``least_ml`` is the volume of ``minimum_volume``."""

    kind: Kind
    class_name: str
    least_ml: float | None = None

    def build(self) -> MaskStep:
        """Return the step."""
        if self.least_ml is not None:
            return MinimumVolume(self.class_name, self.least_ml)
        return _KINDS[self.kind](self.class_name)

    def as_json(self) -> JsonObject:
        """Return the step as JSON can hold it."""
        volume = {} if self.least_ml is None else {"least_ml": self.least_ml}
        return {"step": self.kind, "class": self.class_name, **volume}


def write_choice(file: Path, steps: Sequence[ChosenStep], evidence: Mapping[str, object]) -> None:
    """Write the chosen steps, in their order, with the ``evidence`` for them."""
    write_json(file, {"steps": [step.as_json() for step in steps], **evidence})


def read_choice(file: Path) -> list[ChosenStep]:
    """Return the steps in the file; none if there is no file.

    Raises:
        UserError: if the file is damaged or names an unknown step.
    """
    if not file.is_file():
        return []
    content = read_json_object(file, _REMEDY)
    try:
        return [_step(cast(JsonObject, entry)) for entry in content["steps"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: does not list steps of post-processing ({error}). {_REMEDY}") from None


def _step(entry: JsonObject) -> ChosenStep:
    kind, volume = str(entry["step"]), entry.get("least_ml")
    if kind not in _KINDS or (volume is None) is (kind == "minimum_volume"):
        raise ValueError(f"{entry} is not one of {', '.join(_KINDS)}")
    return ChosenStep(cast(Kind, kind), str(entry["class"]), None if volume is None else float(volume))
