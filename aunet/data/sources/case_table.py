"""A table of cases: a CSV file with a line for each, as spreadsheet programs write it."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.classes import Labels, matching_name
from aunet.data.cohort.case import Case
from aunet.data.cohort.faulty_cases import usable_cases
from aunet.data.sources.file_patterns import check_is_there
from aunet.data.sources.listed_paths import is_inside, listed_path, plain_name
from aunet.errors import UserError

_COLUMNS = ("case_id", "image", "label")
_SEPARATORS = ",;\t"
_ANNOTATED = "annotated"

Row = dict[str, str]


@dataclass(frozen=True)
class _Line:
    """A row of the table and the number of its first line in the file."""

    number: int
    row: Row


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
    lines = _lines(file)
    image_columns = _image_columns(lines[0].row, file)

    def case(line: _Line) -> Case:
        place, row = f"{file}, line {line.number}", line.row
        if empty := [column for column in (*_COLUMNS, *image_columns) if not row[column]]:
            raise UserError(f"{place}: the column {empty[0]} is empty. Every case needs its id, images and label.")
        case_id = plain_name(row["case_id"])
        *images, label = (_path(row[column], file, place) for column in (*image_columns, "label"))
        for path in (*images, label):
            check_is_there(path, case_id, place)
        told = _annotated(row.get(_ANNOTATED, ""), labels, annotated, place)
        return Case(case_id, tuple(images), label, group=row.get("patient", ""), annotated=told)

    return usable_cases(lines, case, on_error)


def _lines(file: Path) -> list[_Line]:
    """Return the rows that are not empty; raise UserError if the file is not a table of cases."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        records = _records(text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: not a readable CSV file ({error}). Save it as CSV with commas, in UTF-8.") from None
    (_, header), *rest = records or [(1, [])]
    columns = _columns(header, file)
    lines: list[_Line] = []
    for number, cells in rest:
        if any(cells[len(columns) :]):
            raise UserError(
                f"{file}, line {number}: {len(cells)} cells, but the first line names {len(columns)} columns. Put a"
                " cell that holds a separator in quotation marks."
            )
        padded = [*cells, *[""] * (len(columns) - len(cells))]
        lines.append(_Line(number, {name: cell for name, cell in zip(columns, padded, strict=False) if name}))
    if not lines:
        raise UserError(f"{file}: lists no case. Write a line for each below the first.")
    return lines


def _records(text: str) -> list[tuple[int, list[str]]]:
    """Return the cells of each row that is not empty, and the number of its first line."""
    lines = list(io.StringIO(text, newline=""))  # str.splitlines also splits cells, at form feeds and U+2028
    skipped = 1 if lines and lines[0].lower().startswith("sep=") else 0  # Excel's own mark
    first = next((line for line in lines[skipped:] if line.strip()), "")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(lines[skipped:], delimiter=separator, strict=True)
    records, begin = list[tuple[int, list[str]]](), skipped + 1
    for cells in reader:
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            records.append((begin, stripped))
        begin = skipped + reader.line_num + 1
    return records


def _columns(header: Sequence[str], file: Path) -> list[str]:
    """Return the names of the columns in lower case; raise UserError if one is missing or repeated."""
    columns = [name.lower() for name in header]
    repeated = [name for name, count in Counter(filter(None, columns)).items() if count > 1]
    if repeated:
        raise UserError(
            f"{file}: the column {repeated[0]} appears {columns.count(repeated[0])} times. Name each column once;"
            " further channels are image_2, image_3 and so on."
        )
    if missing := [column for column in _COLUMNS if column not in columns]:
        raise UserError(
            f"{file}: lacks the columns {', '.join(missing)}; it has {', '.join(filter(None, header)) or 'none'}. Its"
            " first line must be case_id,image,label with commas, for several channels also image_2,image_3, and"
            " patient if known."
        )
    return columns


def _image_columns(row: Row, file: Path) -> list[str]:
    """Return the columns of the channels in order; raise UserError if a number is left out."""
    found = {column for column in row if column.startswith("image_") and column[6:].isdecimal()}
    expected = [f"image_{number}" for number in range(2, len(found) + 2)]
    if found != set(expected):
        raise UserError(
            f"{file}: the columns {', '.join(sorted(found))} are not numbered from 2 on after image. Name them"
            f" {', '.join(expected)}."
        )
    return ["image", *expected]


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
            " blanks if none of them holds one."
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
