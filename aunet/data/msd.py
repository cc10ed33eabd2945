"""Any task of the Medical Segmentation Decathlon, as its archives unpack."""

import json
from pathlib import Path
from typing import Any

from aunet.data.case import Case, Cohort, Modality
from aunet.data.nifti_folders import existing_folder
from aunet.data.volume import stem
from aunet.errors import UserError
from aunet.labels import Labels


def msd_cohort(root: str | None) -> Cohort:
    """Read ``dataset.json`` of the task folder ``root``: classes, modality and the labelled cases."""
    if root is None:
        raise UserError("data.root is not set: data=msd needs the folder of a task, data.root=…/Task04_Hippocampus.")
    folder = existing_folder(root)
    file = folder / "dataset.json"
    content = _read_json(file)
    names = _class_names(content, file)
    cases = tuple(_case(entry, folder, file) for entry in _training_entries(content, file))
    name = str(content.get("name") or folder.name)
    return Cohort(
        name=name,
        cases=tuple(sorted(cases, key=lambda case: case.case_id)),
        labels=Labels(tuple(names.values())),
        class_of_value={value: index for index, value in enumerate(names)},
        modality=_modality(content, file),
        num_channels=len(content["modality"]),
        description=f"{len(cases)} scans of {name} (Medical Segmentation Decathlon) from {root}",
    )


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise UserError(f"{file}: not found. data.root must be an unpacked task folder, which holds dataset.json.")
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{file}: not valid JSON ({error}). Unpack the task's archive again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds no JSON object. Unpack the task's archive again.")
    return content


def _class_names(content: dict[str, Any], file: Path) -> dict[int, str]:
    entries = content.get("labels")
    try:
        names = {int(value): str(name).strip().lower().replace(" ", "_") for value, name in dict(entries or {}).items()}
    except (TypeError, ValueError):
        names = {}
    if len(names) < 2 or 0 not in names:
        raise UserError(
            f"{file}: 'labels' is {entries}: it must map integers to class names, with 0 for the background."
        )
    return {value: "background" if value == 0 else names[value] for value in sorted(names)}


def _modality(content: dict[str, Any], file: Path) -> Modality:
    channels = content.get("modality")
    if not isinstance(channels, dict) or not channels:
        raise UserError(f"{file}: 'modality' is {channels}: it must name the modality of each channel.")
    return "ct" if all(str(name).upper() == "CT" for name in channels.values()) else "mr"


def _training_entries(content: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    entries = content.get("training")
    is_usable = isinstance(entries, list) and all(
        isinstance(e, dict) and {"image", "label"} <= e.keys() for e in entries
    )
    if not entries or not is_usable:
        raise UserError(f"{file}: 'training' must list the cases, each with its 'image' and 'label'.")
    return entries


def _case(entry: dict[str, Any], root: Path, file: Path) -> Case:
    image, label = (_file_inside(str(entry[kind]), root, file) for kind in ("image", "label"))
    return Case(stem(image), (image,), label)


def _file_inside(name: str, root: Path, file: Path) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise UserError(f"{file}: {name} lies outside {root}. Paths in dataset.json must stay inside the task folder.")
    if not path.is_file():
        raise UserError(f"{file}: {name} is listed but not there. Unpack the task's archive again.")
    return root / name
