"""Several trackers of one run as one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.tracking.guarded_tracker import GuardedTracker

if TYPE_CHECKING:
    import pandas as pd


class TrackerGroup:
    """Trackers that all receive whatever the run sends, each in a process of its own; none may stop another."""

    def __init__(self, trackers: Sequence[GuardedTracker]) -> None:
        self._trackers = tuple(trackers)

    @property
    def description(self) -> str:
        """Return the user's names for the trackers."""
        return ", ".join(tracker.description for tracker in self._trackers)

    def start(self) -> None:
        """Start all in the background."""
        for tracker in self._trackers:
            tracker.start()

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """Show the values of an epoch."""
        for tracker in self._trackers:
            tracker.metrics(values, epoch)

    def picture(self, key: str, path: Path, epoch: int | None = None) -> None:
        """Show a picture."""
        for tracker in self._trackers:
            tracker.picture(key, path, epoch)

    def table(self, key: str, table: "pd.DataFrame") -> None:
        """Show a table."""
        for tracker in self._trackers:
            tracker.table(key, table)

    def keep_file(self, name: str, path: Path) -> None:
        """Keep a copy of a file."""
        for tracker in self._trackers:
            tracker.keep_file(name, path)

    def finish(self) -> None:
        """End all."""
        for tracker in self._trackers:
            tracker.finish()
