"""Mapping from a dataset's labels to the classes of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from aunet.classes import IGNORED, Labels, class_name, matching_name
from aunet.data.cohort.case import Case, Cohort, Modality
from aunet.data.cohort.modality_names import shared_modality
from aunet.errors import UserError

_BACKGROUND = "background"
_IGNORE = "ignore"

# Class -> its name or integer in the dataset, several of them, or None if the dataset does not annotate it.
Classes = Mapping[str, object]
ValuesOfName = Mapping[str, Sequence[int]]


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


def label_map(classes: Classes | None, values_of_name: ValuesOfName, other_labels: str, source: str) -> LabelMap:
    """Map a dataset's label values to classes, by name or by value.

    Args:
        classes: the run's classes in their order; see ``Classes``. None or empty takes every name of the dataset.
            Names match regardless of case and separators. A class ``background`` may list labels to take as such, and
            ``ignore`` labels of voxels without reference, which are neither learned from nor scored.
        values_of_name: the dataset's names and the values of each (a region has several); empty if it has none.
        other_labels: how to treat a label of the dataset that ``classes`` does not list: "error" or "background".
        source: the file or folder that holds the names, for messages.

    Raises:
        UserError: if the dataset lacks a name, a value is in two classes, or labels are left over.
    """
    told = {name: values for name, values in values_of_name.items() if not _is_ignore(name)}
    wanted = {name: entries for name, entries in (classes or _every_name(told, source)).items() if not _is_ignore(name)}
    chosen = classes if classes and any(map(_is_ignore, classes)) else values_of_name
    ignored = [entry for name, entries in chosen.items() if _is_ignore(name) for entry in label_entries(entries)]
    names = [_BACKGROUND, *(name for name in wanted if name != _BACKGROUND)]
    if all(_is_unannotated(wanted[name]) for name in names[1:]):
        raise UserError(f"data.classes={dict(wanted)}: name at least one label of {source} that is to be a class.")
    class_of_value = _class_of_value(wanted, names, values_of_name, source)
    for value in _ignored_values(ignored, values_of_name, source):
        if class_of_value.get(value, IGNORED) != IGNORED:
            raise UserError(
                f"data.classes.{_IGNORE}: the value {value} already belongs to {names[class_of_value[value]]}. A value"
                " is either of a class or ignored: list it once."
            )
        class_of_value[value] = IGNORED
    left_over = _left_over(values_of_name, class_of_value)
    if left_over and other_labels != _BACKGROUND:
        raise UserError(
            f"data.classes: the labels {', '.join(left_over)} of {source} belong to no class. List them, or take them"
            " as background with data.other_labels=background."
        )
    annotated = frozenset(index for index, name in enumerate(names) if not _is_unannotated(wanted.get(name, [0])))
    return LabelMap(
        labels=Labels(tuple(names)),
        class_of_value=class_of_value | {value: 0 for values in left_over.values() for value in values},
        annotated=None if len(annotated) == len(names) else annotated | {0},
        is_other_background=other_labels == _BACKGROUND and not values_of_name,
    )


def _is_ignore(name: str) -> bool:
    return matching_name(name) == _IGNORE


def _ignored_values(entries: Sequence[object], values_of_name: ValuesOfName, source: str) -> list[int]:
    values_of_match = {matching_name(name): values for name, values in values_of_name.items()}
    return [value for entry in entries for value in _values(_IGNORE, entry, values_of_match, values_of_name, source)]


def label_entries(entries: object) -> list[object]:
    """Return the labels of a class as a list: none for ``None``, one for a single name or value."""
    if entries is None:
        return []
    return cast(list[object], entries) if isinstance(entries, list) else [entries]


def _is_unannotated(entries: object) -> bool:
    return not label_entries(entries)


def _class_of_value(wanted: Classes, names: Sequence[str], values_of_name: ValuesOfName, source: str) -> dict[int, int]:
    values_of_match = {matching_name(name): values for name, values in values_of_name.items()}
    class_of_value = {0: 0}
    for index, name in enumerate(names):
        for entry in label_entries(wanted.get(name)):
            for value in _values(name, entry, values_of_match, values_of_name, source):
                if class_of_value.get(value, index) != index:
                    raise UserError(
                        f"data.classes.{name}: the value {value} (of {entry!r}) already belongs to"
                        f" {names[class_of_value[value]]}. A voxel has one class, so list each value once; where"
                        f" regions of {source} overlap, name the parts by their values."
                    )
                class_of_value[value] = index
    return class_of_value


def _values(
    name: str, entry: object, values_of_match: ValuesOfName, values_of_name: ValuesOfName, source: str
) -> Sequence[int]:
    """Return the values of one entry of a class: an integer itself, or the values of the label with that name."""
    if isinstance(entry, int) and not isinstance(entry, bool):
        return [entry]
    if isinstance(entry, str) and matching_name(entry) in values_of_match:
        return values_of_match[matching_name(entry)]
    known = f"it has {', '.join(values_of_name)}" if values_of_name else "it has no names, so give whole numbers"
    raise UserError(f"data.classes.{name}: {source} has no label {entry!r}; {known}. Write null for one that it lacks.")


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
        raise UserError(f"{source}: its names {ordered} are not distinct. Name the classes with data.classes.")
    return classes


def _left_over(values_of_name: ValuesOfName, class_of_value: Mapping[int, int]) -> dict[str, list[int]]:
    """Return the dataset's names with those of their values that belong to no class."""
    rest = {name: [value for value in values if value not in class_of_value] for name, values in values_of_name.items()}
    return {name: values for name, values in rest.items() if values}
