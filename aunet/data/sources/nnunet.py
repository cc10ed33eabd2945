"""A raw dataset folder of nnU-Net, version 2 or 1: ``dataset.json``, ``imagesTr/NAME_0000.nii.gz``, ``labelsTr``."""

import logging
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import cast

from aunet.classes import class_name
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.class_mapping import Classes, LabelMap, label_map, mapped_cohort
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.cohort.listed_labels import ValuesOfName, is_ignore, label_entries
from aunet.data.cohort.modality_names import modalities_of_names
from aunet.data.io.formats import SUFFIXES
from aunet.data.io.volume import is_image
from aunet.data.sources.dataset_json import file_named_in, read_dataset_json
from aunet.data.sources.file_patterns import check_is_there, existing_folder, tell_unused
from aunet.data.sources.listed_paths import plain_name
from aunet.errors import UserError
from aunet.files import JsonObject
from aunet.messages import shortened

_logger = logging.getLogger(__name__)

# Channel number -> image, and the label map; called case by case, so that one faulty entry affects only its case.
Files = Callable[[], tuple[dict[int, Path], Path]]


def nnunet_cohort(
    root: str | None,
    classes: Classes | None = None,
    other_labels: str = "error",
    on_error: str = "stop",
    regions: Classes | None = None,
) -> Cohort:
    """Read the folder ``root``, such as nnUNet_raw/Dataset004_Hippocampus.

    Labels that are lists of values are classes unless they overlap. If they do, and ``regions_class_order`` is given,
    they are regions, painted in their order; ``classes`` may name disjoint parts instead. Voxels of a label ``ignore``
    are neither learned from nor scored.

    Args:
        root: the folder that holds dataset.json.
        classes: see ``label_map``.
        other_labels: see ``label_map``.
        on_error: how to treat a case that lacks a channel or a label: "stop", or "skip" with a warning.
        regions: regions in place of classes; see ``label_map``. None takes those of dataset.json, if it has some.
    """
    folder = existing_folder(root)
    file = folder / "dataset.json"
    content = read_dataset_json(file)
    values_of_name = _values_of_name(content, file)
    has_own = not classes and not regions and _are_overlapping(values_of_name) and "regions_class_order" in content
    own = _own_regions(values_of_name) if has_own else regions
    labels = label_map(classes, values_of_name, other_labels, str(file), own)
    if has_own:
        _check_order(content["regions_class_order"], labels, file)
    channels = _channels(content, file)
    modalities = modalities_of_names(channels[str(number)] for number in range(len(channels)))
    files = _files_named(content, file) if "dataset" in content else _files_found(content, file)

    def case(case_id: str) -> Case:
        images, label = files[case_id]()
        if sorted(images) != list(range(len(channels))):
            numbers = ", ".join(f"{number:04d}" for number in sorted(images))
            raise UserError(
                f"{folder}: case {case_id} has the channels {numbers}; {file} names {len(channels)}, so every case"
                f" needs 0000 to {len(channels) - 1:04d}, each once."
            )
        paths = (*(images[number] for number in sorted(images)), label)
        for path in paths:
            check_is_there(path, case_id)
        return Case(case_id, paths[:-1], paths[-1], annotated=labels.annotated)

    cases = usable_cases(files, case, on_error)
    description = f"{len(cases)} scans of {folder.name} (nnU-Net) from {root}"
    return mapped_cohort(labels, folder.name, cases, modalities, description, folder)


def _values_of_name(content: JsonObject, file: Path) -> dict[str, list[int]]:
    entries = content.get("labels")
    if _is_version_1(content):
        return {str(name): [int(value)] for value, name in content["labels"].items()}
    if not isinstance(entries, dict) or any(str(name).isdecimal() for name in entries):
        hint = " The Decathlon writes it the other way round: data=msd." if entries else ""
        raise UserError(f"{file}: 'labels' is {entries}: it must map class names to whole numbers.{hint}")
    listed = {str(name): [_as_number(value) for value in label_entries(values)] for name, values in entries.items()}
    values_of_name = {name: [value for value in values if isinstance(value, int)] for name, values in listed.items()}
    numbers = [value for values in values_of_name.values() for value in values]
    if listed != values_of_name or min(numbers, default=0) < 0 or values_of_name.get("background") != [0]:
        raise UserError(f"{file}: 'labels' is {entries}: each must be a whole number or a list of them, background 0.")
    return values_of_name


def _as_number(value: object) -> object:
    """Return a whole number that is written as text or with a point as an integer, anything else as it is."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _are_overlapping(values_of_name: ValuesOfName) -> bool:
    values = [value for of_name in values_of_name.values() for value in of_name]
    return len(set(values)) < len(values)


def _own_regions(values_of_name: ValuesOfName) -> dict[str, list[int]]:
    """Return the regions of dataset.json, in its order; the background is none."""
    named = {name if is_ignore(name) else class_name(name): list(values) for name, values in values_of_name.items()}
    return {name: values for name, values in named.items() if values != [0]}


def _check_order(order: object, labels: LabelMap, file: Path) -> None:
    """Raise UserError unless nnU-Net, painting ``order`` value by value, would write the label maps that it read."""
    names = [name for _, name in labels.labels.foreground]
    values = cast(list[object], order) if isinstance(order, list) else []
    painted = [labels.class_of_value.get(value) if isinstance(value, int) else None for value in values]
    if painted != list(range(1, len(names) + 1)):
        raise UserError(
            f"{file}: 'regions_class_order' is {order}: it must give for each of {', '.join(names)}, in this order, a"
            " value of that region alone and none of a later one. Correct it, or set data.target_regions."
        )


def _is_version_1(content: JsonObject) -> bool:
    """Return whether the labels map distinct values to names, as nnU-Net 1 and the Decathlon write them."""
    entries = content.get("labels")
    if not isinstance(entries, dict) or not {"0"} < entries.keys():
        return False
    names = [str(name) for name in entries.values()]
    return all(str(value).isdecimal() for value in entries) and len(set(names)) == len(names)


def _channels(content: JsonObject, file: Path) -> JsonObject:
    channels = content.get("channel_names", content.get("modality"))
    if not isinstance(channels, dict) or sorted(channels) != sorted(
        str(number) for number in range(len(channels) or 1)
    ):
        raise UserError(f"{file}: 'channel_names' is {channels}: it must name each channel, as in {{'0': 'CT'}}.")
    return channels


def _inner_folder(folder: Path, name: str) -> Path:
    if not (folder / name).is_dir():
        raise UserError(
            f"data.root={folder}: has no {name}. Give the folder that nnU-Net calls raw, with labelled cases."
        )
    return folder / name


def _files_found(content: JsonObject, file: Path) -> dict[str, Files]:
    """Return the files of ``imagesTr`` by case, with the label of each in ``labelsTr``."""
    told = content.get("file_ending", ".nii.gz" if _is_version_1(content) else None)
    ending = f".{told}" if f".{told}" in SUFFIXES else told
    if ending not in SUFFIXES:
        raise UserError(f"{file}: 'file_ending' is {ending!r}: {', '.join(SUFFIXES)} can be read. Convert it.")
    images, labels = (_inner_folder(file.parent, name) for name in ("imagesTr", "labelsTr"))
    found: dict[str, dict[int, Path]] = {}
    misnamed: list[Path] = []
    for path in sorted(images.iterdir()):
        match = re.fullmatch(r"([^.].*)_(\d{4})" + re.escape(ending), plain_name(path.name), re.IGNORECASE)
        if match:
            found.setdefault(match[1], {})[int(match[2])] = path
        elif path.name.lower().endswith(ending) and not path.name.startswith("."):
            misnamed.append(path)
    if not found and misnamed and "training" in content:
        raise UserError(
            f"{file}: a task of the Medical Segmentation Decathlon, whose images have no channel number. Read it with"
            " data=msd."
        )
    if not found and not misnamed:
        raise UserError(f"{images}: holds no images named NAME_0000{ending}. Give the folder that nnU-Net calls raw.")
    label_of_name = {
        _with_ending(plain_name(path.name), ending): path for path in sorted(labels.iterdir()) if is_image(path)
    }
    label_of_case = {
        case_id: label_of_name.get(f"{case_id}{ending}", labels / f"{case_id}{ending}") for case_id in found
    }
    label_of_case |= _numbered_labels(label_of_name, found, ending)
    known = {*label_of_case.values(), *(labels / path.name for path in misnamed)}
    tell_unused(path for path in label_of_name.values() if path not in known)
    files: dict[str, Files] = {
        case_id: partial(_pair, paths, label_of_case[case_id]) for case_id, paths in found.items()
    }
    return files | {path.name: partial(_refuse_name, path, ending) for path in misnamed}


def _numbered_labels(label_of_name: Mapping[str, Path], case_ids: Collection[str], ending: str) -> dict[str, Path]:
    """Return the label maps that are named as images, with a channel number, by case; they are logged in one line."""
    numbered = {
        case_id: path
        for case_id in case_ids
        if f"{case_id}{ending}" not in label_of_name and f"{case_id}_0000" not in case_ids
        if (path := label_of_name.get(f"{case_id}_0000{ending}"))
    }
    for case_id, path in list(numbered.items())[:1]:
        names = shortened([other.name for other in numbered.values()])
        text = "%s: label maps with a channel number are read: %s. nnU-Net itself would need the name %s."
        _logger.warning(text, path.parent, names, f"{case_id}{ending}")
    return numbered


def _with_ending(name: str, ending: str) -> str:
    """Return a file name that ends in ``ending`` whatever the case in which it is written."""
    return name[: len(name) - len(ending)] + ending if name.lower().endswith(ending) else name


def _refuse_name(path: Path, ending: str) -> tuple[dict[int, Path], Path]:
    raise UserError(f"{path}: has no channel number. nnU-Net names images NAME_0000{ending}; rename it.")


def _pair(images: dict[int, Path], label: Path) -> tuple[dict[int, Path], Path]:
    return images, label


def _files_named(content: JsonObject, file: Path) -> dict[str, Files]:
    """Return the files by case that dataset.json lists: ``{"dataset": {NAME: {"images": […], "label": …}}}``."""
    entries = content["dataset"]
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"{file}: 'dataset' is {entries}: it must map each case to its 'images' and 'label'.")
    return {str(case_id): partial(_files_of_entry, str(case_id), entry, file) for case_id, entry in entries.items()}


def _files_of_entry(case_id: str, entry: object, file: Path) -> tuple[dict[int, Path], Path]:
    if not isinstance(entry, dict) or not isinstance(entry.get("images"), list) or "label" not in entry:
        raise UserError(f"{file}: 'dataset': case {case_id} must hold a list of 'images' and one 'label'.")
    return {n: file_named_in(file, name) for n, name in enumerate(entry["images"])}, file_named_in(file, entry["label"])
