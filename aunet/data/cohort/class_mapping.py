"""Mapping from a dataset's labels to the classes of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.classes import Labels, class_name
from aunet.data.cohort.case import Case, Cohort, Modality
from aunet.data.cohort.listed_labels import Classes as Classes
from aunet.data.cohort.listed_labels import (
    ValuesOfName,
    ignored_values,
    is_ignore,
    label_entries,
    values_of_entries,
    with_ignored,
    with_left_over,
)
from aunet.data.cohort.modality_names import shared_modality
from aunet.data.cohort.region_mapping import map_regions
from aunet.errors import UserError

_BACKGROUND = "background"
_KEY = "data.classes"


@dataclass(frozen=True)
class LabelMap:
    """The classes of a run and their values in a dataset's label files.

    ``annotated`` holds the classes that the dataset annotates, background included; None means all of them. Values that
    ``class_of_value`` does not name are refused, or read as background if ``is_other_background``.
    """

    labels: Labels
    class_of_value: Mapping[int, int]
    annotated: frozenset[int] | None
    is_other_background: bool


def mapped_cohort(
    mapping: LabelMap,
    name: str,
    cases: tuple[Case, ...],
    modalities: Sequence[Modality | None],
    description: str,
    root: Path | None,
) -> Cohort:
    """Return the cohort of ``cases`` with the classes of ``mapping``; ``modalities`` are those of its channels."""
    return Cohort(
        name=name,
        cases=cases,
        labels=mapping.labels,
        class_of_value=mapping.class_of_value,
        modality=shared_modality(modalities),
        modalities=tuple(modalities),
        num_channels=len(modalities),
        description=description,
        is_other_background=mapping.is_other_background,
        root=root,
    )


def label_map(
    classes: Classes | None,
    values_of_name: ValuesOfName,
    other_labels: str,
    source: str,
    regions: Classes | None = None,
) -> LabelMap:
    """Map a dataset's label values to classes, by name or by value.

    Args:
        classes: the run's classes in their order; see ``Classes``. None or empty takes every name of the dataset.
            Names match regardless of case and separators. A class ``background`` may list labels to take as such, and
            ``ignore`` labels of voxels without reference, which are neither learned from nor scored.
        values_of_name: the dataset's names and the values of each (a region has several); empty if it has none.
        other_labels: how to treat a label of the dataset that ``classes`` does not list: "error" or "background".
        source: the file or folder that holds the names, for messages.
        regions: the run's regions, which may overlap, in place of classes; see ``map_regions``.

    Raises:
        UserError: if the dataset lacks a name, a value is in two classes, or labels are left over.
    """
    if regions:
        labels, class_of_value = _map_regions(regions, classes, values_of_name, other_labels, source)
        return LabelMap(labels, class_of_value, None, other_labels == "background" and not values_of_name)
    told = {name: values for name, values in values_of_name.items() if not is_ignore(name)}
    wanted = {name: entries for name, entries in (classes or _every_name(told, source)).items() if not is_ignore(name)}
    chosen = classes if classes and any(map(is_ignore, classes)) else _as_entries(values_of_name)
    names = [_BACKGROUND, *(name for name in wanted if name != _BACKGROUND)]
    if all(_is_unannotated(wanted[name]) for name in names[1:]):
        raise UserError(f"{_KEY}={dict(wanted)}: name at least one label of {source} that is to be a class.")
    ignored = ignored_values(_KEY, chosen, values_of_name, source)
    class_of_value = _class_of_value(wanted, names, values_of_name, source)
    class_of_value = with_ignored(class_of_value, ignored, names, _KEY)
    class_of_value = with_left_over(class_of_value, values_of_name, other_labels, _KEY, source)
    annotated = frozenset(index for index, name in enumerate(names) if not _is_unannotated(wanted.get(name, [0])))
    return LabelMap(
        labels=Labels(tuple(names)),
        class_of_value=class_of_value,
        annotated=None if len(annotated) == len(names) else annotated | {0},
        is_other_background=other_labels == _BACKGROUND and not values_of_name,
    )


def _map_regions(
    regions: Classes, classes: Classes | None, values_of_name: ValuesOfName, other_labels: str, source: str
) -> tuple[Labels, dict[int, int]]:
    """Return ``map_regions`` with the values of ``classes``."""
    values_of_class = {
        name: values_of_entries(f"{_KEY}.{name}", entries, values_of_name, source, "")
        for name, entries in (classes or {}).items()
    }
    return map_regions(regions, values_of_class, values_of_name, other_labels, source)


def _as_entries(values_of_name: ValuesOfName) -> dict[str, list[int]]:
    return {name: list(values) for name, values in values_of_name.items()}


def _is_unannotated(entries: object) -> bool:
    return not label_entries(entries)


def _class_of_value(wanted: Classes, names: Sequence[str], values_of_name: ValuesOfName, source: str) -> dict[int, int]:
    class_of_value = {0: 0}
    for index, name in enumerate(names):
        for entry in label_entries(wanted.get(name)):
            remedy = " Write null for one that it lacks."
            for value in values_of_entries(f"{_KEY}.{name}", [entry], values_of_name, source, remedy):
                if class_of_value.get(value, index) != index:
                    raise UserError(
                        f"{_KEY}.{name}: the value {value} (of {entry!r}) already belongs to"
                        f" {names[class_of_value[value]]}. A voxel has one class, so list each value once; if"
                        f" regions of {source} overlap, name them with data.target_regions, or the parts by their"
                        " values."
                    )
                class_of_value[value] = index
    return class_of_value


def _every_name(values_of_name: ValuesOfName, source: str) -> dict[str, list[str]]:
    """Make each of the dataset's names a class of its own, in the order of their values."""
    if not values_of_name:
        raise UserError(
            f"data.classes is not set, and {source} has no names: set data.classes='{{spleen: 1, liver: 2}}'."
        )
    foreground = {name: list(values) for name, values in values_of_name.items() if list(values) != [0]}
    ordered = sorted(foreground, key=lambda name: foreground[name])
    classes = {class_name(name): [name] for name in ordered}
    if len(classes) < len(ordered) or "" in classes:
        raise UserError(f"{source}: its names {ordered} are not distinct. Name the classes with {_KEY}.")
    return classes
