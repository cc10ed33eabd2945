"""Tables with one row per epoch: rewritten atomically, read as text or as columns."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aunet.errors import UserError
from aunet.files import write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = Mapping[str, float | str]
Columns = Mapping[str, "NDArray[Any]"]  # numbers or text
_RESTORE = "Restore the run's own file."


def replace_row(path: Path, row: Row) -> None:
    """Add ``row`` to the table at ``path`` atomically, replacing rows of its epoch and later ones.

    A column that only some epochs have is empty in the others.
    """
    rows = read_rows_before(path, int(row["epoch"]))
    table = io.StringIO()
    columns = list(dict.fromkeys([*row, *(name for old in rows for name in old)]))
    writer = csv.DictWriter(table, fieldnames=columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows([*rows, row])
    write_text(path, table.getvalue())


def read_rows_before(path: Path, epoch: int) -> list[dict[str, str]]:
    """Return the rows of the epochs before ``epoch``; empty without such a file.

    Raises:
        UserError: the file is not a table of epochs.
    """
    return [row for row in read_table(path) if _epoch(row, path) < epoch]


def read_epochs(path: Path) -> list[int]:
    """Return the epoch of each row; raise UserError unless the file, if there is one, is a table of epochs."""
    return [_epoch(row, path) for row in read_table(path)]


def read_columns(path: Path) -> Columns | None:
    """Return the columns of a CSV file by name, for curves; None if there is no such file or no row in it.

    Raises:
        UserError: the file is not a table.
    """
    import pandas as pd

    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path, dtype={"case_id": str})
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a table of epochs ({str(error).strip()}). {_RESTORE}") from None
    return {str(name): table[name].to_numpy() for name in table.columns} if len(table) else None


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the cells of a table of epochs (CSV) by column; empty if there is no such file.

    Raises:
        UserError: the file is empty or not text.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None:
                raise UserError(f"{path}: not a table of epochs (it is empty). {_RESTORE}")
            return [{name: cell or "" for name, cell in row.items()} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a table of epochs ({error}). {_RESTORE}") from None


def _epoch(row: Mapping[str, str], path: Path) -> int:
    try:
        return int(row["epoch"])
    except (KeyError, ValueError):
        held = repr(row["epoch"]) if "epoch" in row else "no column epoch"
        raise UserError(f"{path}: not a table of epochs ({held} instead of a number of an epoch). {_RESTORE}") from None
