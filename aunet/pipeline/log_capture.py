"""Collection of the warnings that a step of one scan logs, while other threads log theirs."""

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and record.levelno == logging.WARNING:
            self.messages.append(record.getMessage())


@contextmanager
def collected_warnings() -> Generator[list[str]]:
    """Yield the list to which warnings of aunet in this thread are added; they are shown as before."""
    collector, logger = _Collector(), logging.getLogger("aunet")
    logger.addHandler(collector)
    try:
        yield collector.messages
    finally:
        logger.removeHandler(collector)
