"""Suggestions for a misspelled name: did you mean …?"""

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known names that ``word`` meant most and equally likely; empty if none is close.

    Dotted keys are compared whole and, for a group that was forgotten (``max_epochs`` for ``trainer.max_epochs``),
    by their last part.
    """
    names = sorted(set(known))
    namesakes = [name for name in names if _last_part(name) == word]
    if namesakes:
        depth = min(name.count(".") for name in namesakes)
        return [name for name in namesakes if name.count(".") == depth]
    whole = get_close_matches(word, names, n=1, cutoff=0.7)
    if whole:
        return whole
    last_part = get_close_matches(_last_part(word), {_last_part(name) for name in names}, n=1, cutoff=0.8)
    return [name for name in names if [_last_part(name)] == last_part]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the remedy as a sentence with a leading blank; empty if no name is close."""
    names = closest(word, known)
    return f" Did you mean {' or '.join(names)}?" if names else ""


def _last_part(key: str) -> str:
    return key.rpartition(".")[2]
