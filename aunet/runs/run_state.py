"""The state of a run, read from its folder during the training or after."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from aunet.errors import UserError
from aunet.files import JsonObject, read_json_if_sound
from aunet.runs.epoch_rows import read_table
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_lock import holder, is_locked

_T = TypeVar("_T")


@dataclass(frozen=True)
class RunState:
    """The state of a run as ``aunet runs`` and the tables of sweeps show it.

    ``status`` is that of run.json, except: ``running`` is a run whose process is alive, ``died`` one whose process
    ended without recording it, and ``waiting`` one that has its configuration and nothing else.
    """

    folder: Path
    status: str
    data: str = ""
    is_phantom: bool = False
    model: str = ""
    commit: str | None = None
    started: datetime | None = None
    max_epochs: int | None = None
    max_time: str | None = None  # DD:HH:MM:SS
    recorded_end: str | None = None  # the trainer's setting that ended the training; None in older runs
    validation_dice: tuple[float, ...] = ()  # one per epoch
    test_dice: dict[str, float] = field(default_factory=dict[str, float])  # by class; undefined ones left out
    seconds: float = 0.0
    caveats: tuple[str, ...] = ()  # sentences that qualify every score

    @property
    def best_dice(self) -> float | None:
        """Return the best validation Dice so far; None if none is defined."""
        defined = [value for value in self.validation_dice if not math.isnan(value)]
        return max(defined, default=None)

    @property
    def num_epochs(self) -> int:
        """Return the number of epochs so far; a time limit may have cut the last one short."""
        return len(self.validation_dice)

    @property
    def ended_by(self) -> str:
        """Return ``max_epochs``, ``max_time`` or ``patience``: as recorded, in older runs inferred from the epochs."""
        if self.recorded_end is not None:
            return self.recorded_end
        if self.max_epochs is None or self.num_epochs >= self.max_epochs:
            return "max_epochs"
        return "patience" if self.max_time is None else "max_time"


def read_run_state(folder: Path) -> RunState:
    """Read the state of the run in ``folder``; missing or half-written files contribute nothing."""
    run = RunFolder(folder)
    facts, trainer = read_json_if_sound(run.record), _trainer_settings(run)
    durations, caveats = facts.get("durations"), facts.get("caveats")
    return RunState(
        folder=folder,
        status=_status(folder, facts),
        data=str(facts.get("data", "")),
        is_phantom=bool(facts.get("is_phantom")),
        model=str(facts.get("model", "")),
        commit=_typed(facts.get("commit"), str),
        started=_moment(facts.get("started")),
        max_epochs=_typed(trainer.get("max_epochs"), int),
        max_time=_typed(trainer.get("max_time"), str),
        recorded_end=_typed(facts.get("ended_by"), str),
        validation_dice=tuple(_column(run.metrics, "val/dice")),
        test_dice=_test_dice(facts.get("scores")),
        caveats=tuple(map(str, cast(list[object], caveats))) if isinstance(caveats, list) else (),
        seconds=_sum_of_numbers(durations) or sum(_column(run.timing, "epoch_seconds")),
    )


def where_it_runs(folder: Path) -> str | None:
    """Return the machine on which the run's last process was started; None if none was."""
    return holder(folder).get("host")


def _status(folder: Path, facts: JsonObject) -> str:
    recorded = str(facts.get("status", "waiting"))
    if recorded == "finished":
        return recorded
    if is_locked(folder):
        return "running"
    return "died" if recorded == "running" else recorded


def _trainer_settings(run: RunFolder) -> JsonObject:
    try:
        return dict(run.read_config()["trainer"])
    except (UserError, KeyError, TypeError, ValueError):
        return {}


def _test_dice(scores: Any) -> dict[str, float]:
    """Return the mean Dice of each class that a test case defines."""
    try:
        return {str(name): float(of["dice"]["mean"]) for name, of in scores.items() if of["dice"]["count"]}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def _moment(value: object) -> datetime | None:
    """Return the time that ``value`` writes, in UTC if it names no zone; None for any other value."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _sum_of_numbers(durations: object) -> float:
    values = cast(dict[str, object], durations).values() if isinstance(durations, dict) else ()
    return float(sum(value for value in values if isinstance(value, int | float)))


def _typed(value: object, wanted: type[_T]) -> _T | None:
    return value if isinstance(value, wanted) else None


def _column(path: Path, name: str) -> list[float]:
    """Return the numbers of one column of an epoch table; NaN for missing ones."""
    try:
        return [float(row.get(name) or "nan") for row in read_table(path)]
    except (UserError, ValueError):
        return []
