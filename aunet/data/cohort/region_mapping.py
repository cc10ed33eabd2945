"""Mapping from a dataset's labels to regions that may overlap, as nnU-Net's region-based training has them.

A voxel lies in several regions at once; its label map is painted region by region in their order, so it keeps the last
one. The values of a region's own are those that no later region holds.
"""

from collections.abc import Mapping, Sequence

from aunet.classes import Labels, matching_name
from aunet.data.cohort.listed_labels import (
    Classes,
    ValuesOfName,
    ignored_values,
    is_ignore,
    values_of_entries,
    with_ignored,
    with_left_over,
)
from aunet.errors import UserError

_KEY = "data.target_regions"


def map_regions(
    regions: Classes, values_of_class: ValuesOfName, values_of_name: ValuesOfName, other_labels: str, source: str
) -> tuple[Labels, dict[int, int]]:
    """Return the regions, numbered in the order of painting, and the number of each value in the dataset's label maps.

    Args:
        regions: region -> its labels in the dataset, by name or by value, in the order of painting. An entry
            ``background`` lists labels to take as such, ``ignore`` those of voxels without reference.
        values_of_class: names of data.classes, which entries may list too.
        values_of_name: see ``label_map``.
        other_labels: how to treat a label of the dataset in no region: "error" or "background".
        source: the file or folder that holds the names, for messages.

    Raises:
        UserError: fewer than two regions, one that is empty or repeated, an unknown label, or an order in which
            painting would lose a region.
    """
    names = [name for name in regions if not is_ignore(name) and matching_name(name) != "background"]
    _check_names(names)
    known = {**values_of_name, **values_of_class}
    values = {name: _values_of_region(name, regions[name], known, source) for name in names}
    _check_values(values, values_of_name, source)
    if unnamed := [name for name in regions if matching_name(name) == "background"]:
        values_of_background = values_of_entries(f"{_KEY}.background", regions[unnamed[0]], known, source, "")
    else:
        values_of_background = []
    regions_of = _regions_of_values(values)
    labels = Labels(("background", *names), _painted(values, regions_of, source))
    chosen = regions if any(map(is_ignore, regions)) else {name: list(of) for name, of in known.items()}
    ignored = ignored_values(_KEY, chosen, known, source)
    numbers = {0: 0, **dict.fromkeys(values_of_background, 0), **{value: of[-1] for value, of in regions_of.items()}}
    if twice := sorted(set(values_of_background) & regions_of.keys()):
        raise UserError(f"{_KEY}.background: the value {twice[0]} is in a region too. List it once.")
    class_of_value = with_ignored(numbers, ignored, labels.names, _KEY)
    return labels, with_left_over(class_of_value, known, other_labels, _KEY, source)


def _check_names(names: Sequence[str]) -> None:
    first_with: dict[str, str] = {}
    for name in names:
        if (first := first_with.setdefault(matching_name(name), name)) != name:
            raise UserError(f"{_KEY}: {first} and {name} are one name. Give each region its own.")
    if len(names) < 2:
        raise UserError(
            f"{_KEY}={names}: regions need two or more names, as a single one excludes nothing. Set"
            " data.classes='{NAME: [VALUE, …]}' for it."
        )


def _values_of_region(name: str, entries: object, values_of_name: ValuesOfName, source: str) -> tuple[int, ...]:
    found = values_of_entries(f"{_KEY}.{name}", entries, values_of_name, source, "")
    if not found:
        raise UserError(f"{_KEY}.{name}: is empty. List the values of the label maps that make it up: [1, 2].")
    if (lowest := min(found)) <= 0:
        raise UserError(f"{_KEY}.{name}: the value {lowest} is not one of a region. List whole numbers from 1.")
    return tuple(dict.fromkeys(found))


def _check_values(values: Mapping[str, Sequence[int]], values_of_name: ValuesOfName, source: str) -> None:
    """Raise UserError for a value that a dataset with names does not have."""
    known = {value: name for name, of_name in values_of_name.items() for value in of_name}
    for name, of_region in values.items():
        if known and (unknown := [value for value in of_region if value not in known]):
            told = ", ".join(f"{value} {of}" for value, of in sorted(known.items()))
            raise UserError(f"{_KEY}.{name}: {source} has no value {unknown[0]}; it has {told}. Correct the list.")


def _regions_of_values(values: Mapping[str, Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """Return for each value the numbers of the regions that hold it, in order."""
    every_value = sorted({value for of_region in values.values() for value in of_region})
    numbered = list(enumerate(values.values(), start=1))
    return {value: tuple(number for number, of in numbered if value in of) for value in every_value}


def _painted(
    values: Mapping[str, Sequence[int]], regions_of: Mapping[int, tuple[int, ...]], source: str
) -> tuple[tuple[int, ...], ...]:
    """Return for each region the numbers of its voxels once all are painted; raise UserError if some are lost."""
    names = list(values)
    value_of_number = {numbers[-1]: value for value, numbers in reversed(list(regions_of.items()))}
    for number, name in enumerate(names, start=1):
        if number not in value_of_number:
            later = sorted({regions_of[value][-1] for value in values[name]})
            raise UserError(
                f"{_KEY}.{name}: is painted over by {', '.join(names[other - 1] for other in later)}, listed later, so"
                " none of its voxels would keep it. List larger regions first, and none twice."
            )
    for value, numbers in regions_of.items():
        first = value_of_number[numbers[-1]]
        if regions_of[first] != numbers:
            one, other = sorted((first, value), key=lambda of: len(regions_of[of]))
            both = " and ".join(names[number - 1] for number in regions_of[other])
            raise UserError(
                f"{_KEY}: the values {one} and {other} of {source} would both be painted as {names[numbers[-1] - 1]},"
                f" although they are not in the same regions. Add the overlap of {both} as a region of its own at the"
                f" end: {{…, overlap: [{other}]}}."
            )
    return tuple(
        tuple(kept for kept in sorted(value_of_number) if number in regions_of[value_of_number[kept]])
        for number in range(1, len(names) + 1)
    )
