"""A table of cases: a CSV file with a line for each, as spreadsheet programs write it."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from aunet.classes import Labels, matching_name
from aunet.data.cohort.case import Case
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.sources.file_patterns import check_is_there
from aunet.data.sources.listed_paths import is_inside, listed_path, plain_name
from aunet.data.sources.table_lines import (
    PATIENT,
    Line,
    plain_patient,
    read_lines,
    tell_alike_patients,
    tell_unread_patients,
)
from aunet.errors import UserError

_logger = logging.getLogger(__name__)

_COLUMNS = ("case_id", "image", "label")
_REMEDY = (
    "Its first line must be case_id,image,label with commas, for several channels also image_2,image_3, and patient if"
    " known."
)
_ANNOTATED = "annotated"
# Columns that are not read, but that somebody means to list annotated classes, or to be a channel.
_LIKE_ANNOTATIONS = re.compile(
    r"(annotated?|annotations?|labell?ed)[ _.-]?(class|classes|organs?|labels?|structures?)?"
)
_LIKE_A_CHANNEL = re.compile(r"images?[ _.-]?\d*")


def cases_in_table(
    file: Path, on_error: str, labels: Labels, annotated: frozenset[int] | None = None
) -> tuple[Case, ...]:
    """Read the cases of the table ``file``.

    Columns are separated by commas, semicolons or tabs. Equal ``patient`` means one patient; ``annotated`` lists the
    classes that the label map of a case annotates, separated by ``|`` (or by blanks if no name holds one), and is empty
    for all; other columns are ignored. A relative path starts at the table's folder and may not leave it, links
    followed, so that a table that came with its data reads nothing else. To list files elsewhere, write absolute paths.

    Args:
        file: the table.
        on_error: how to treat an unusable case: "stop", or "skip" with a warning.
        labels: the classes of the run, which the column ``annotated`` names.
        annotated: the classes that the whole dataset annotates, background included; None means all.
    """
    lines = read_lines(file, _COLUMNS, _REMEDY, "lists no case. Write a line for each below the first.")
    image_columns = _image_columns(lines[0].row, file)
    tell_unread_patients(lines[0].row, file)
    _tell_unread_annotations(lines[0].row, file)

    def case(line: Line) -> Case:
        place, row = f"{file}, line {line.number}", line.row
        if empty := [column for column in (*_COLUMNS, *image_columns) if not row[column]]:
            raise UserError(f"{place}: the column {empty[0]} is empty. Every case needs its id, images and label.")
        case_id = plain_name(row["case_id"])
        *images, label = (_path(row[column], file, place) for column in (*image_columns, "label"))
        for path in (*images, label):
            check_is_there(path, case_id, place)
        if label in images:
            raise UserError(f"{place}: {row['label']} is both image and label of case {case_id}. Give its label map.")
        told = _annotated(row.get(_ANNOTATED, ""), labels, annotated, place)
        return Case(case_id, tuple(images), label, group=plain_patient(row.get(PATIENT, "")), annotated=told)

    tell_alike_patients((plain_patient(line.row.get(PATIENT, "")) for line in lines), file)
    return usable_cases(lines, case, on_error)


def _image_columns(row: Mapping[str, str], file: Path) -> list[str]:
    """Return the columns of the channels in order; raise UserError if a number is left out or written otherwise."""
    found = {column for column in row if column.startswith("image_") and column[6:].isdecimal()}
    expected = [f"image_{number}" for number in range(2, len(found) + 2)]
    if found != set(expected):
        raise UserError(
            f"{file}: the columns {', '.join(sorted(found))} are not numbered from 2 on after image. Name them"
            f" {', '.join(expected)}."
        )
    alike = [column for column in row if _LIKE_A_CHANNEL.fullmatch(column) and column not in ("image", *expected)]
    if alike:
        raise UserError(
            f"{file}: the column {alike[0]} would not be read. If it is a further channel, name it"
            f" image_{len(expected) + 2}; else give it a name without image."
        )
    return ["image", *expected]


def _tell_unread_annotations(row: Mapping[str, str], file: Path) -> None:
    """Log a warning if annotated classes are listed in a column of another name: each case would seem complete."""
    alike = [column for column in row if _LIKE_ANNOTATIONS.fullmatch(column) and column != _ANNOTATED]
    if alike and _ANNOTATED not in row:
        _logger.warning(
            "%s: the column %s is not read, so every case counts as annotating all classes. If it lists the classes"
            " that a case annotates, name it annotated.",
            *(file, alike[0]),
        )


def _annotated(text: str, labels: Labels, whole: frozenset[int] | None, place: str) -> frozenset[int] | None:
    """Return the classes that a case annotates, background included; those of the dataset if the cell is empty."""
    index_of_name = {matching_name(name): index for index, name in enumerate(labels.names)}
    parts = [part.strip() for part in re.split(r"[|,;]", text)]
    is_one_part = len(parts) == 1 and matching_name(text) not in index_of_name
    words = text.split() if is_one_part else [part for part in parts if part]
    if not words:
        return whole
    if unknown := [word for word in words if matching_name(word) not in index_of_name]:
        raise UserError(
            f"{place}: the column {_ANNOTATED} names {unknown[0]!r}; the classes are"
            f" {', '.join(name for _, name in labels.foreground)}. Separate names by |, or by"
            " blanks if none of them holds one; an empty cell means all."
        )
    told = frozenset(index_of_name[matching_name(word)] for word in words) | {0}
    if whole is not None and not told <= whole:
        extra = labels.names[min(told - whole)]
        raise UserError(f"{place}: the column {_ANNOTATED} names {extra}, which data.classes sets to null.")
    return None if whole is None and len(told) == labels.num_classes else told


def _path(name: str, file: Path, place: str) -> Path:
    path = listed_path(name, file.parent, place)
    if Path(name).expanduser().is_absolute():
        return path
    if not is_inside(path, file.parent, place, name):
        raise UserError(f"{place}: {name} lies outside {file.parent}. Write an absolute path if that is meant.")
    return path
