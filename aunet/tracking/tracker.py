"""What a run tells a tracker. Everything it tells is in the run's folder too."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Tracker(Protocol):
    """Shows a run elsewhere. It may throw and hang as it likes: ``GuardedTracker`` stands between."""

    @property
    def description(self) -> str:
        """Where it shows the run, for the user."""
        ...

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """Show the values of an epoch, by name."""
        ...

    def picture(self, key: str, path: Path, epoch: int | None = None) -> None:
        """Show the PNG at ``path``, which may be deleted afterwards; of an epoch before that epoch's metrics."""
        ...

    def table(self, key: str, table: "pd.DataFrame") -> None:
        """Show a table of scores."""
        ...

    def keep_file(self, name: str, path: Path) -> None:
        """Keep a copy of the file at ``path``: a version of ``name``."""
        ...

    def finish(self) -> None:
        """End; nothing is told afterwards."""
        ...
