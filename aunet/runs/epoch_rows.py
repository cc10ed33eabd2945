"""Tables with one row per epoch, rewritten atomically."""

import csv
import io
from pathlib import Path
from typing import Any

from aunet.files import write_text
from aunet.runs.run_folder import read_table

Row = dict[str, Any]


def replace_row(path: Path, row: Row) -> None:
    """Add ``row`` to the table at ``path`` atomically, replacing rows of its epoch and later ones.

    A column that only some epochs have is empty in the others.
    """
    rows = [old for old in read_table(path) if int(old["epoch"]) < row["epoch"]]
    table = io.StringIO()
    columns = list(dict.fromkeys([*row, *(name for old in rows for name in old)]))
    writer = csv.DictWriter(table, fieldnames=columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows([*rows, row])
    write_text(path, table.getvalue())
