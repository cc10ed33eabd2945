"""The interface of a tracker. Everything sent to it is in the run's folder too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrackedRun:
    """The run that a tracker shows.

    Attributes:
        folder: of the run.
        name: by which people know it, ``logger.name`` or the last two names of its folder.
        project: of runs on one question.
        entity: the user or team that owns the project; None for the user's own.
        group: of runs that belong together.
        tags: the user's words for it.
        settings: its configuration.
    """

    folder: Path
    name: str
    project: str = "aunet"
    entity: str | None = None
    group: str | None = None
    tags: Sequence[str] = ()
    settings: Mapping[str, object] = field(default_factory=dict[str, object])


class Tracker(Protocol):
    """A display of a run elsewhere, built with its ``TrackedRun`` in a process of its own.

    It may raise or hang: ``GuardedTracker`` protects the run.
    """

    @property
    def description(self) -> str:
        """Return where it shows the run, for the user."""
        ...

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """Show the values of an epoch, by name."""
        ...

    def picture(self, key: str, path: Path, epoch: int | None = None) -> None:
        """Show the PNG at ``path``, which may be deleted afterwards; an epoch's pictures precede its metrics."""
        ...

    def table(self, key: str, table: "pd.DataFrame") -> None:
        """Show a table of scores."""
        ...

    def keep_file(self, name: str, path: Path) -> None:
        """Keep a copy of the file at ``path`` as a version of ``name``."""
        ...

    def finish(self) -> None:
        """End the tracker; nothing is sent afterwards."""
        ...
