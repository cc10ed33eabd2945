"""The files that a report reads from a run folder; those that the run has not written (yet) are None or empty."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from aunet.classes import Labels
from aunet.errors import UserError
from aunet.metrics.case_scores import read_case_scores

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class RunFiles:
    """The files of one run, read on demand."""

    folder: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Return the content of ``run.json``; raise UserError if it is missing or not JSON."""
        path = self.folder / "run.json"
        if not path.is_file():
            raise UserError(f"{path}: no such file; a report is made of a run's folder, which holds run.json.")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise UserError(f"{path}: not readable as JSON ({error}); restore it from a copy of the run.") from error

    @property
    def caveats(self) -> list[str]:
        """Return the sentences that qualify every score of the run."""
        return [str(caveat) for caveat in self.facts.get("caveats", ())]

    @property
    def labels(self) -> Labels:
        """Return the classes of the run."""
        names = self.facts.get("class_names")
        if not names:
            raise UserError(f"{self.folder / 'run.json'}: lacks 'class_names'; a run writes them when it starts.")
        return Labels(tuple(str(name) for name in names))

    @property
    def metrics(self) -> Columns | None:
        """Return the columns of ``metrics.csv``, a value per epoch."""
        return _columns(self.folder / "metrics.csv")

    @property
    def attention_statistics(self) -> Columns | None:
        """Return the columns of ``attention/statistics.csv``, a value per epoch, case, level and map."""
        return _columns(self.folder / "attention" / "statistics.csv")

    @property
    def films(self) -> list[Path]:
        """Return the contact sheets of the recorded cases."""
        return sorted((self.folder / "attention").glob("film_*.png"))

    @property
    def case_scores(self) -> pd.DataFrame | None:
        """Return ``test/case_scores.csv``, a row per test case and class."""
        path = self.folder / "test" / "case_scores.csv"
        return read_case_scores(path) if path.is_file() else None

    @property
    def config(self) -> str | None:
        """Return the text of ``config.yaml``."""
        path = self.folder / "config.yaml"
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def test_picture(self, case_id: str) -> Path | None:
        """Return the picture of a test case."""
        path = self.folder / "test" / "pictures" / f"{case_id}.png"
        return path if path.is_file() else None


def _columns(path: Path) -> Columns | None:
    if not path.is_file():
        return None
    table: Any = pd.read_csv(path, dtype={"case_id": str})
    return {str(name): table[name].to_numpy() for name in table.columns} if len(table) else None
