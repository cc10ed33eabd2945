"""Words of messages: suggestions for a misspelled name, shortened lists, sizes, durations and times of day."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

_UNITS = (("days", 86400), ("h", 3600), ("min", 60), ("s", 1))


def train_command() -> str:
    """Return ``python train.py`` if that started this process, else ``aunet train``, which every installation has."""
    return "python train.py" if Path(sys.argv[0]).name == "train.py" else "aunet train"


def closest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known names that ``word`` meant most and equally likely; empty if none is close.

    Dotted keys are compared whole and, for a group that was forgotten or another one (``max_epochs`` and
    ``data.max_epochs`` for ``trainer.max_epochs``), by their last part.
    """
    names = sorted(set(known))
    namesakes = [name for name in names if _last_part(name) == _last_part(word)]
    if namesakes and "." in word:
        of_group = [name for name in namesakes if _first_part(name) == _first_part(word)]
        return get_close_matches(word, of_group or namesakes, n=1, cutoff=0)
    if namesakes:
        depth = min(name.count(".") for name in namesakes)
        return [name for name in namesakes if name.count(".") == depth]
    whole = get_close_matches(word, names, n=1, cutoff=0.7)
    if whole:
        return whole
    last_part = get_close_matches(_last_part(word), {_last_part(name) for name in names}, n=1, cutoff=0.8)
    return [name for name in names if [_last_part(name)] == last_part]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the most similar of the ``known`` names, however different; empty if there are none."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0)), "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the remedy as a sentence with a leading blank; empty if no name is close.

    Examples:
        >>> did_you_mean("max_epochs", ["trainer.max_epochs", "seed"])
        ' Did you mean trainer.max_epochs?'
    """
    names = closest(word, known)
    return f" Did you mean {' or '.join(names)}?" if names else ""


def shortened(names: Sequence[object], limit: int = 5) -> str:
    """Return the names joined by commas, those beyond ``limit`` as a count: ``a, b and 7 more``.

    Examples:
        >>> shortened(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more


def counted(count: int, name: str) -> str:
    """Return a count with its noun: ``1 step``, ``240 steps``."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def alike_but_for_case(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of names that differ only in upper and lower case, which some file systems take for one.

    Examples:
        >>> alike_but_for_case(["p1", "P1", "p2"])
        [['p1', 'P1']]
    """
    groups: dict[str, dict[str, None]] = {}
    for name in names:
        groups.setdefault(name.casefold(), {})[name] = None
    return [list(group) for group in groups.values() if len(group) > 1]


def rounded(value: float) -> str:
    """Format with two significant digits, from 10 on as a whole number: 0.13, 1.6, 23, 120."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:#.2g}"


def gigabytes(num_bytes: float) -> str:
    """Format a number of bytes for people: 6.1 GB, 12.3 MB."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def duration_words(seconds: float) -> str:
    """Return the two largest units of a duration, rounded: 8 s, 2 min 40 s, 3 h 20 min, 1 day 4 h.

    Examples:
        >>> duration_words(160)
        '2 min 40 s'
    """
    for place, (_, unit) in enumerate(_UNITS[:-1]):
        smaller, size = _UNITS[place + 1]
        rounded_seconds = round(seconds / size) * size
        if rounded_seconds >= unit:
            whole, rest = divmod(rounded_seconds, unit)
            name = _UNITS[place][0] if place or whole > 1 else "day"
            return f"{whole} {name}" + (f" {rest // size} {smaller}" if rest else "")
    return f"{round(seconds)} s"


def duration_digits(seconds: float) -> str:
    """Return a duration for a column of a table, in hours, minutes and seconds: 0:02:40."""
    return str(timedelta(seconds=round(seconds)))


def clock_words(seconds: float, now: datetime | None = None) -> str:
    """Return the local time of day ``seconds`` after ``now``, with its date unless that is today's: 14:32.

    Examples:
        >>> clock_words(90, datetime(2026, 11, 26, 14, 30))
        '14:31'
    """
    now = now or datetime.now().astimezone()
    then = now + timedelta(seconds=seconds)
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then:%H:%M on %d %b}" if then.year == now.year else f"{then:%d %b %Y}"


def age_words(start: datetime | None) -> str:
    """Return the time since ``start`` in its largest unit; a dash if there is none.

    A start in the future, as after the clock was set back or on another machine, is 0 minutes ago.
    """
    if start is None:
        return "–"
    minutes = max(0, int((datetime.now(UTC) - start).total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


def _first_part(key: str) -> str:
    return key.partition(".")[0]


def _last_part(key: str) -> str:
    return key.rpartition(".")[2]
