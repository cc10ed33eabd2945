"""Warnings of the readers, collected instead of shown, so that each is listed with its case."""

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager

_READERS = logging.getLogger("aunet.data")


class _Listener(logging.Handler):
    """A handler that keeps the warnings of one thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread = threading.get_ident()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread:
            self.messages.append(record.getMessage())


@contextmanager
def readers_kept_quiet() -> Generator[None]:
    """Keep the readers' warnings off the terminal; ``remarks_heard`` inside it still collects them."""
    before, _READERS.propagate = _READERS.propagate, False
    silent = logging.NullHandler()
    _READERS.addHandler(silent)  # without any handler Python would print them
    try:
        yield
    finally:
        _READERS.propagate = before
        _READERS.removeHandler(silent)


@contextmanager
def remarks_heard() -> Generator[list[str]]:
    """Yield the list to which the warnings of this thread are added."""
    listener = _Listener()
    _READERS.addHandler(listener)
    try:
        yield listener.messages
    finally:
        _READERS.removeHandler(listener)
