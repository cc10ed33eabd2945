"""A CSV file of pairs: which prediction belongs to which reference, wherever both lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from aunet.data.io.formats import READABLE
from aunet.data.io.volume import is_image, stem
from aunet.errors import UserError
from aunet.messages import shortened

_REQUIRED = ("prediction", "reference")


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
    table = _read(file)
    pairs: dict[str, tuple[Path, Path]] = {}
    patients: dict[str, str] = {}
    for line, row in enumerate(table.to_dict("records"), start=2):
        prediction, reference = (_label_map(file, line, column, str(row[column])) for column in _REQUIRED)
        case_id = str(row.get("case_id", "")) or stem(reference)
        if case_id in pairs:
            raise UserError(f"{file}: line {line} repeats case {case_id}. Give each case one row and its own case_id.")
        pairs[case_id] = (prediction, reference)
        patients[case_id] = str(row.get("patient", ""))
    return PairTable(pairs, patients)


def _read(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise UserError(f"{file}: no such file; give a CSV file with the columns {', '.join(_REQUIRED)}.")
    try:
        table = pd.read_csv(file, dtype="str", keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a CSV file of pairs ({str(error).strip()}). Write it again.") from None
    if missing := [column for column in _REQUIRED if column not in table.columns]:
        raise UserError(
            f"{file}: lacks the columns {', '.join(missing)}; it has {shortened(list(table.columns))}. Name them in"
            " its first line."
        )
    if table.empty:
        raise UserError(f"{file}: holds no pair. Write a line per case.")
    return table


def _label_map(file: Path, line: int, column: str, cell: str) -> Path:
    path = file.parent / Path(cell).expanduser()
    if not cell or not _is_file(path) or not is_image(path):
        found = f"{path} is not a file of a known format ({READABLE})" if cell else "the cell is empty"
        raise UserError(f"{file}: line {line}, {column}: {found}. Paths start at the folder of the CSV file.")
    return path


def _is_file(path: Path) -> bool:
    """Return whether ``path`` is a file; one that cannot exist, as its name is too long, is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
