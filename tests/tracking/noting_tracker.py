"""A tracker that notes its calls in a file, and may throw or hang."""

import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd


class NotingTracker:
    """``fault``: what it does when it is shown an epoch: nothing, "throw" or "hang"."""

    def __init__(self, notes: Path, fault: str = "") -> None:
        if fault == "no start":
            raise OSError("no space\nleft")
        self.description = "notes"
        self._notes = notes
        self._fault = fault

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        if self._fault == "throw":
            raise RuntimeError("the service\nis gone")
        if self._fault == "hang":
            time.sleep(3600)
        self._note(f"epoch {epoch}: {dict(values)}")

    def picture(self, key: str, path: Path, epoch: int | None = None) -> None:
        self._note(f"{key} of {path.stat().st_size} bytes")

    def table(self, key: str, table: pd.DataFrame) -> None:
        self._note(f"{key} with {len(table)} rows")

    def keep_file(self, name: str, path: Path) -> None:
        self._note(name)

    def finish(self) -> None:
        self._note("end")

    def _note(self, text: str) -> None:
        with self._notes.open("a") as file:
            file.write(text + "\n")
