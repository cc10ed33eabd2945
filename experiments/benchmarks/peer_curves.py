"""Results of ``peers.py``: rows on disk, the curve of a training, and the minutes to a Dice."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Score:
    """Mean Dice over the cases kept apart, with the weights of ``seconds`` after the contender's start."""

    seconds: float
    dice: float


def append_row(file: Path, row: Mapping[str, object]) -> None:
    """Append ``row`` to the CSV file, with its keys as the header of a new one."""
    is_new = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def read_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows of the CSV file; none if it does not exist."""
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def minutes_to(dice: float, curve: Sequence[Score]) -> float:
    """Return the minutes after which a score of ``curve`` is at least ``dice``; infinity if none is.

    A curve may join several runs of a contender: the earliest counts.
    """
    return min((score.seconds / 60 for score in curve if score.dice >= dice), default=math.inf)


def median_minutes(minutes: Sequence[float]) -> float:
    """Return the median over rounds, infinity being a round that did not get there; the upper one of an even number."""
    return statistics.median_high(minutes)


def describe_minutes(minutes: float, budget: float) -> str:
    """Return ``minutes`` in words, ``budget`` being the longest that was given."""
    return f"{minutes:.1f}" if math.isfinite(minutes) else f"not reached in {budget:g} min"


def describe_ratio(minutes: float, ours: float, budget: float) -> str:
    """Return how many times ``ours`` the minutes are: at least ``budget`` / ``ours`` if they are infinite."""
    if not math.isfinite(ours):
        return "ours not reached"
    return f"{minutes / ours:.1f}" if math.isfinite(minutes) else f"> {budget / ours:.1f}"


def thin_out(seconds: Sequence[float], interval: float) -> list[int]:
    """Return indices of ascending ``seconds`` that lie at least ``interval`` apart, the first and the last included."""
    kept: list[int] = []
    for index, moment in enumerate(seconds):
        if not kept or moment - seconds[kept[-1]] >= interval or index == len(seconds) - 1:
            kept.append(index)
    return kept
