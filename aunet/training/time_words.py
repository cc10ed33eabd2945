"""Durations and times of day for a reader."""

from datetime import datetime, timedelta

_UNITS = (("days", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration_words(seconds: float) -> str:
    """Return the two largest units of a duration, rounded: 8 s, 2 min 40 s, 3 h 20 min, 1 day 4 h."""
    for place, (_, unit) in enumerate(_UNITS[:-1]):
        smaller, size = _UNITS[place + 1]
        rounded = round(seconds / size) * size
        if rounded >= unit:
            whole, rest = divmod(rounded, unit)
            name = _UNITS[place][0] if place or whole > 1 else "day"
            return f"{whole} {name}" + (f" {rest // size} {smaller}" if rest else "")
    return f"{round(seconds)} s"


def clock_words(seconds: float, now: datetime | None = None) -> str:
    """Return the local time of day ``seconds`` after ``now``, with its date unless that is today's: 14:32."""
    now = now or datetime.now().astimezone()
    then = now + timedelta(seconds=seconds)
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then:%H:%M on %d %b}" if then.year == now.year else f"{then:%d %b %Y}"
