"""A CSV file of pairs: which prediction belongs to which reference, wherever both lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aunet.data.io.dicom_files import is_folder_of_files
from aunet.data.io.formats import READABLE
from aunet.data.io.volume import is_image, stem
from aunet.data.sources.listed_paths import listed_path, plain_name
from aunet.data.sources.table_lines import (
    PATIENT,
    plain_patient,
    read_lines,
    tell_alike_patients,
    tell_unread_patients,
)
from aunet.errors import UserError

_REQUIRED = ("prediction", "reference")
_REMEDY = "Its first line must be prediction,reference with commas, and case_id and patient if they are known."


@dataclass(frozen=True)
class PairTable:
    """The label maps (prediction, reference) of each case, and its patient if the table names it."""

    pairs: Mapping[str, tuple[Path, Path]]
    patients: Mapping[str, str]


def read_pairs(file: Path) -> PairTable:
    """Read the columns prediction and reference, and case_id and patient if there are any.

    Relative paths start at the file's own folder. A case without an id is named as its reference.

    Raises:
        UserError: a column is missing, a cell is empty, a label map does not exist, or two rows are of one case.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file; give a CSV file with the columns {', '.join(_REQUIRED)}.")
    pairs: dict[str, tuple[Path, Path]] = {}
    patients: dict[str, str] = {}
    lines = read_lines(file, _REQUIRED, _REMEDY, "holds no pair. Write a line per case.")
    tell_unread_patients(lines[0].row, file)
    tell_alike_patients((plain_patient(line.row.get(PATIENT, "")) for line in lines), file)
    for line in lines:
        place = f"{file}, line {line.number}"
        prediction, reference = (_label_map(file, place, column, line.row[column]) for column in _REQUIRED)
        case_id = plain_name(line.row.get("case_id", "") or stem(reference))
        if case_id in pairs:
            raise UserError(f"{place}: repeats case {case_id}. Give each case one row and its own case_id.")
        pairs[case_id] = (prediction, reference)
        patients[case_id] = plain_patient(line.row.get(PATIENT, ""))
    return PairTable(pairs, patients)


def _label_map(file: Path, place: str, column: str, cell: str) -> Path:
    if not cell:
        raise UserError(f"{place}: the column {column} is empty. Every case needs its prediction and reference.")
    path = listed_path(cell, file.parent, place)
    if not _is_readable(path):
        raise UserError(
            f"{place}: the {column} {path} is not a file of a known format ({READABLE}) or a folder of DICOM. Paths"
            " start at the folder of the CSV file."
        )
    return path


def _is_readable(path: Path) -> bool:
    """Return whether ``path`` may be a label map; one that cannot exist, as its name is too long, is none."""
    try:
        return is_folder_of_files(path) or (path.is_file() and is_image(path))
    except (OSError, ValueError):
        return False
