"""The end of a run with several processes (ranks): the first of them to end decides whether it failed or was stopped.

A rank that fails ends the others in the ways of other ends: torchrun sends them SIGTERM, as for a stop by the user, and
their exchange breaks, as if they had failed themselves.
"""

import json
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from aunet.errors import UserError
from aunet.files import read_json_if_sound, write_json
from aunet.runs.ranks import num_ranks, rank
from aunet.runs.run_folder import RunFolder


@dataclass(frozen=True)
class RankEnd:
    """The end of a rank.

    Attributes:
        status: the run's, as in its record.
        rank: its number, from 0; None if the run has one process.
        error: one line; empty for an interrupted run.
        is_users: whether the user can mend the error.
    """

    status: Literal["failed", "interrupted"]
    rank: int | None
    error: str = ""
    is_users: bool = False

    def __str__(self) -> str:
        """Return the error, after the rank if there are several."""
        return self.error if self.rank is None else f"rank {self.rank}: {self.error}"


def first_end(folder: Path, error: BaseException, *, is_stop: bool) -> RankEnd:
    """Note that ``error`` ends this rank of the run in ``folder``; return the end of the rank that ended first."""
    own_rank = rank() if num_ranks() > 1 else None
    own = RankEnd("interrupted", own_rank)
    if not is_stop:
        own = RankEnd("failed", own_rank, error_line(error), isinstance(error, UserError))
    if own_rank is None:
        return own
    note = RunFolder(folder).first_end
    try:
        with note.open("x", encoding="utf-8") as file:
            json.dump(asdict(own), file)
    except FileExistsError:
        return read_first_end(folder) or own
    except OSError:  # the folder is gone, or its disk is full
        return own
    return own


def note_killed(folder: Path, killed: int, number: int) -> None:
    """Note that the system ended rank ``killed`` by the signal ``number``, which made other ranks fail."""
    end = read_first_end(folder)
    if end is not None and end.status == "interrupted":
        return
    hint = ", mostly for lack of memory" if number == signal.SIGKILL else ""
    error = f"killed by {signal.Signals(number).name}{hint}"
    with suppress(OSError):
        write_json(RunFolder(folder).first_end, asdict(RankEnd("failed", killed, error)))


def read_first_end(folder: Path) -> RankEnd | None:
    """Return the end of the rank that ended first; None if no rank has noted one."""
    found = read_json_if_sound(RunFolder(folder).first_end)
    try:
        return RankEnd(**found) if found else None
    except TypeError:  # of another version
        return None


def forget_ends(folder: Path) -> None:
    """Remove what the ranks of an earlier start noted."""
    RunFolder(folder).first_end.unlink(missing_ok=True)


def error_line(error: BaseException) -> str:
    """Return the first line of an error, after its type unless it is a message for the user."""
    line = str(error).partition("\n")[0]
    if isinstance(error, UserError):
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
