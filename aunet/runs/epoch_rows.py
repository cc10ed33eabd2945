"""Tables with one row per epoch, rewritten atomically."""

import csv
import io
from pathlib import Path
from typing import Any

from aunet.files import write_text

Row = dict[str, Any]


def replace_row(path: Path, row: Row) -> None:
    """Add ``row`` to the table at ``path`` atomically, replacing rows of its epoch and later ones."""
    rows = [old for old in read_rows(path) if int(old["epoch"]) < row["epoch"]]
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(row), lineterminator="\n", extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows([*rows, row])
    write_text(path, table.getvalue())


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a table by column name; empty if there is no table yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
