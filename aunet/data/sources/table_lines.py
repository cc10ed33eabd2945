"""Tables in CSV as spreadsheet programs write them: cells by the name of their column, rows by their line."""

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aunet.data.io.foreign import foreign_format
from aunet.data.sources.listed_paths import plain_name
from aunet.errors import UserError
from aunet.messages import alike_but_for_case, shortened

_logger = logging.getLogger(__name__)

PATIENT = "patient"
_SEPARATORS = ",;\t"
# How programs write that a cell is empty.
_EMPTY_WORDS = frozenset(("na", "n/a", "nan", "null", "none", "unknown", "-", "?"))
_WHOLE_NUMBER = re.compile(r"(\d+)\.0+")
_SHOWN = 80
# A column that is not read, but that somebody means to name the patient of a case.
_LIKE_A_PATIENT = re.compile(r"(patient|subject|participant|person)s?[ _.-]?(id|name|nr|number|key)?")


@dataclass(frozen=True)
class Line:
    """A row of a table, cells by column in lower case, and the number of its first line in the file."""

    number: int
    row: dict[str, str]


def read_lines(file: Path, required: Sequence[str], remedy: str, lists_nothing: str) -> list[Line]:
    """Read the rows that are not empty. Columns are separated by commas, semicolons or tabs.

    Args:
        file: the table, in UTF-8.
        required: columns that it must have, in lower case.
        remedy: the last sentence of the message if one of them is missing or repeated.
        lists_nothing: message for a table without rows; the file's name precedes it.

    Raises:
        UserError: if the file is not such a table.
    """
    records = _records(_text(file), file)
    (_, header), *rest = records or [(1, [])]
    columns = _columns(header, required, remedy, file)
    lines: list[Line] = []
    for number, cells in rest:
        if any(cells[len(columns) :]):
            raise UserError(
                f"{file}, line {number}: {len(cells)} cells, but the first line names {len(columns)} columns. Put a"
                " cell that holds a separator in quotation marks."
            )
        padded = [*cells, *[""] * (len(columns) - len(cells))]
        lines.append(Line(number, {name: cell for name, cell in zip(columns, padded, strict=False) if name}))
    if not lines:
        raise UserError(f"{file}: {lists_nothing}")
    return lines


def plain_patient(cell: str) -> str:
    """Return the patient that a cell names, empty if it is unknown: accents composed, 7.0 of a spreadsheet as 7."""
    name = plain_name(cell)
    whole = _WHOLE_NUMBER.fullmatch(name)
    return "" if name.lower() in _EMPTY_WORDS else whole[1] if whole else name


def tell_unread_patients(row: Mapping[str, str], file: Path) -> None:
    """Log a warning if patients are listed in a column of another name, as a split would not keep them together."""
    alike = [column for column in row if _LIKE_A_PATIENT.fullmatch(column)]
    if alike and PATIENT not in alike:
        _logger.warning(
            "%s: the column %s is not read, so each case counts as a patient of its own. If it says which cases are of"
            " one patient, name it patient.",
            *(file, alike[0]),
        )


def tell_alike_patients(patients: Iterable[str], file: Path) -> None:
    """Log a warning about patients whose names differ only in case: one patient in two parts of a split is a leak."""
    for names in alike_but_for_case(patients):
        _logger.warning(
            "%s: the patients %s differ only in upper and lower case, and count as different. If they are one, write"
            " the name alike in every line.",
            *(file, shortened(names)),
        )


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
        if foreign := foreign_format(content) if b"\0" in content else None:
            raise UserError(
                f"{file}: {foreign.name}, as Excel's own files are, not a table in text. Save it as CSV, in UTF-8."
            )
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from None
    if (at := text.find("\0")) >= 0:
        raise UserError(
            f"{file}, line {text.count(chr(10), 0, at) + 1}: holds a zero byte; the file is damaged or not CSV. Save it"
            " as CSV, in UTF-8."
        )
    return text


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"{file}: not a readable CSV file ({error}). Save it as CSV with commas, in UTF-8.")


def _records(text: str, file: Path) -> list[tuple[int, list[str]]]:
    """Return the cells of each row that is not empty, and the number of its first line."""
    lines = list(io.StringIO(text, newline=""))  # str.splitlines also splits cells, at form feeds and U+2028
    skipped = 1 if lines and lines[0].lower().startswith("sep=") else 0  # Excel's own mark
    first = next((line for line in lines[skipped:] if line.strip()), "")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(lines[skipped:], delimiter=separator, strict=True)
    records, begin = list[tuple[int, list[str]]](), skipped + 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                records.append((begin, stripped))
            begin = skipped + reader.line_num + 1
    except csv.Error as error:
        raise _unreadable(file, error) from None
    return records


def _columns(header: Sequence[str], required: Sequence[str], remedy: str, file: Path) -> list[str]:
    """Return the names of the columns in lower case; raise UserError if one is missing or repeated."""
    columns = [name.lower() for name in header]
    repeated = [name for name, count in Counter(filter(None, columns)).items() if count > 1]
    if repeated:
        raise UserError(
            f"{file}: the column {repeated[0]} appears {columns.count(repeated[0])} times. Name each column once."
            f" {remedy}"
        )
    if missing := [column for column in required if column not in columns]:
        has = shortened([name[:_SHOWN] for name in header if name]) or "none"
        raise UserError(f"{file}: lacks the columns {', '.join(missing)}; it has {has}. {remedy}")
    return columns
