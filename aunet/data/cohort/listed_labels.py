"""The labels of a dataset as data.classes and data.target_regions list them: by name or by value."""

from collections.abc import Mapping, Sequence
from typing import cast

from aunet.classes import IGNORED, matching_name
from aunet.errors import UserError

_IGNORE = "ignore"
# The entry of the only class if label maps number its objects.
ANY_VALUE = "any"

# Class -> its name or integer in the dataset, several of them, or None if the dataset does not annotate it.
Classes = Mapping[str, object]
ValuesOfName = Mapping[str, Sequence[int]]


def is_ignore(name: str) -> bool:
    """Return whether ``name`` is that of voxels without reference."""
    return matching_name(name) == _IGNORE


def label_entries(entries: object) -> list[object]:
    """Return the labels of a class as a list: none for ``None``, one for a single name or value."""
    if entries is None:
        return []
    return cast(list[object], entries) if isinstance(entries, list) else [entries]


def values_of_entries(key: str, entries: object, values_of_name: ValuesOfName, source: str, remedy: str) -> list[int]:
    """Return the values of a class: integers themselves, and those of the labels with the names that it lists.

    Args:
        key: of the class, for messages.
        entries: names and values, see ``Classes``.
        values_of_name: the names of ``source`` and the values of each.
        source: the file or folder that holds the names, for messages.
        remedy: the last sentence of the message about an unknown name.

    Raises:
        UserError: for an entry that is neither a whole number nor one of the names.
    """
    values_of_match = {matching_name(name): values for name, values in values_of_name.items()}
    found: list[int] = []
    for entry in label_entries(entries):
        if isinstance(entry, int) and not isinstance(entry, bool):
            found.append(entry)
        elif isinstance(entry, str) and matching_name(entry) in values_of_match:
            found += values_of_match[matching_name(entry)]
        else:
            known = (
                f"it has {', '.join(values_of_name)}" if values_of_name else "it has no names, so give whole numbers"
            )
            if entry == ANY_VALUE:
                remedy = f" {ANY_VALUE} needs data=images or data=nuclei, with this class alone."
            raise UserError(f"{key}: {source} has no label {entry!r}; {known}.{remedy}")
    return found


def ignored_values(key: str, chosen: Classes, values_of_name: ValuesOfName, source: str) -> list[int]:
    """Return the values that the entry ``ignore`` of ``chosen`` lists."""
    of_ignore = [entries for name, entries in chosen.items() if is_ignore(name)]
    return [
        value
        for entries in of_ignore
        for value in values_of_entries(f"{key}.{_IGNORE}", entries, values_of_name, source, "")
    ]


def with_ignored(
    class_of_value: Mapping[int, int], ignored: Sequence[int], names: Sequence[str], key: str
) -> dict[int, int]:
    """Return ``class_of_value`` with the ``ignored`` values; raise UserError for one that belongs to a class."""
    for value in ignored:
        if class_of_value.get(value, IGNORED) != IGNORED:
            raise UserError(
                f"{key}.{_IGNORE}: the value {value} already belongs to {names[class_of_value[value]]}. A value"
                " is either of a class or ignored: list it once."
            )
    return {**class_of_value, **dict.fromkeys(ignored, IGNORED)}


def with_left_over(
    class_of_value: Mapping[int, int], values_of_name: ValuesOfName, other_labels: str, key: str, source: str
) -> dict[int, int]:
    """Return ``class_of_value`` with the dataset's other labels as background; raise UserError unless that is allowed.

    ``other_labels`` is "error" or "background".
    """
    rest = {name: [value for value in values if value not in class_of_value] for name, values in values_of_name.items()}
    left_over = {name: values for name, values in rest.items() if values}
    if left_over and other_labels != "background":
        kind = "class" if key == "data.classes" else "region"
        raise UserError(
            f"{key}: the labels {', '.join(left_over)} of {source} belong to no {kind}. List them, or take them"
            " as background with data.other_labels=background."
        )
    return {**class_of_value, **{value: 0 for values in left_over.values() for value in values}}
