"""A progress bar in the terminal for slow work; nothing in a file or pipe."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

_Item = TypeVar("_Item")


def shown(items: Iterable[_Item], description: str, total: int) -> Iterable[_Item]:
    """Return the ``items`` as they come, counted by a bar that vanishes when all ``total`` are there."""
    console = Console(stderr=True)
    is_hidden = not console.is_terminal
    return track(items, description, total=total, console=console, transient=True, disable=is_hidden)
