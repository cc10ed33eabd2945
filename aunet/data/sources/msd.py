"""Any task of the Medical Segmentation Decathlon, as its archives unpack, and datasets described in the same way."""

from pathlib import Path, PurePosixPath
from typing import cast

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.class_mapping import Classes, label_map, mapped_cohort
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.cohort.modality_names import modalities_of_names
from aunet.data.io.formats import stem
from aunet.data.sources.dataset_json import file_named_in, read_dataset_json
from aunet.data.sources.file_patterns import existing_folder
from aunet.data.sources.listed_paths import listed_path, plain_name
from aunet.errors import UserError
from aunet.files import JsonObject


def msd_cohort(
    root: str | None,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    regions: Classes | None = None,
) -> Cohort:
    """Read ``dataset.json`` of the task folder ``root``: classes, modality and the labelled cases.

    Args:
        root: the unpacked folder, such as /data/Task04_Hippocampus.
        classes: see ``label_map``.
        other_labels: see ``label_map``.
        on_error: how to treat a listed case that is unusable: "stop", or "skip" with a warning.
        regions: regions in place of classes; see ``label_map``.
    """
    folder = existing_folder(root)
    file = folder / "dataset.json"
    content = read_dataset_json(file)
    labels = label_map(classes, _values_of_name(content, file), other_labels, str(file), regions)
    channels = _channels(content, file)
    modalities = modalities_of_names(channels[key] for key in sorted(channels, key=_number))

    def case(entry: object) -> Case:
        if not isinstance(entry, dict) or not {"image", "label"} <= entry.keys():
            raise UserError(f"{file}: 'training' lists {entry}; each of its cases needs an 'image' and a 'label'.")
        images, label = _images(entry["image"], len(channels), file), file_named_in(file, entry["label"])
        named = entry["label"] if isinstance(entry["image"], list) else entry["image"]
        return Case(_case_id(named), images, label, annotated=labels.annotated)

    cases = usable_cases(_training_entries(content, file), case, on_error)
    name = str(content.get("name") or folder.name)
    description = f"{len(cases)} scans of {name} from {root}"
    return mapped_cohort(labels, name, cases, modalities, description, folder)


def _images(name: object, num_channels: int, file: Path) -> tuple[Path, ...]:
    """Return the listed image; if it is not there but NAME_0000 is, as in nnU-Net 1, the files of its channels."""
    if isinstance(name, list):  # as MONAI's lists of data name channels
        return tuple(file_named_in(file, part) for part in cast(list[object], name))
    if isinstance(name, str):
        listed = PurePosixPath(name.replace("\\", "/"))
        ending = listed.name[len(stem(Path(listed.name))) :]
        parts = [str(listed.with_name(f"{_case_id(name)}_{number:04d}{ending}")) for number in range(num_channels)]
        if not listed_path(name, file.parent, str(file)).exists() and (file.parent / parts[0]).is_file():
            return tuple(file_named_in(file, part) for part in parts)
    return (file_named_in(file, name),)


def _case_id(name: object) -> str:
    return plain_name(stem(Path(str(name).replace("\\", "/"))))


def _values_of_name(content: JsonObject, file: Path) -> dict[str, list[int]]:
    entries = content.get("labels")
    if isinstance(entries, dict) and "background" in entries and "0" not in entries:
        raise UserError(f"{file}: 'labels' maps names to integers, as nnU-Net's do: read it with data=nnunet.")
    try:
        name_of_value = {int(value): str(name).strip() for value, name in dict(entries or {}).items()}
    except (TypeError, ValueError):
        name_of_value = {}
    if len(name_of_value) < 2 or 0 not in name_of_value:
        raise UserError(
            f"{file}: 'labels' is {entries}: it must map integers to class names, with 0 for the background."
        )
    values_of_name = {name: [value] for value, name in sorted(name_of_value.items())}
    if len(values_of_name) < len(name_of_value):
        raise UserError(f"{file}: 'labels' is {entries}: a name appears twice; give each value its own.")
    return values_of_name


def _channels(content: JsonObject, file: Path) -> JsonObject:
    channels = content.get("modality")
    if not isinstance(channels, dict) or not channels:
        raise UserError(f"{file}: 'modality' is {channels}: it must name the modality of each channel.")
    return channels


def _number(key: str) -> tuple[int, str]:
    """Order the keys of 'modality' as numbers: channel 10 follows 9."""
    return (int(key), key) if key.isdecimal() else (0, key)


def _training_entries(content: JsonObject, file: Path) -> list[object]:
    entries = content.get("training")
    if not entries or not isinstance(entries, list):
        raise UserError(f"{file}: 'training' must list the cases, each with its 'image' and 'label'.")
    return entries
