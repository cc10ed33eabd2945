"""The process of a tracker, which answers the calls of the run.

It is started as ``python -m aunet.tracking.tracker_process FILE_DESCRIPTOR``, not by multiprocessing, which would run
the user's script a second time.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from aunet.tracking.tracker import Tracker


def serve_tracker(connection: "Connection[Any, Any]") -> None:
    """Build the tracker with the function sent first, then run each (method, arguments) received, until ``finish``.

    Every answer is (True, text) or (False, reason). Stop signals are ignored here: the run handles them, saves, then
    sends ``finish``. If the run dies without that, the tracker is finished with the values received so far.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        tracker = _done(connection, connection.recv())
        if tracker is not None:
            _serve(connection, tracker)


def _serve(connection: "Connection[Any, Any]", tracker: Tracker) -> None:
    while True:
        try:
            what, words = connection.recv()
        except EOFError:
            tracker.finish()
            return
        _done(connection, partial(getattr(tracker, what), *words))
        if what == "finish":
            return


def _done(connection: "Connection[Any, Any]", call: Callable[[], Any]) -> Any:
    """Return the result of ``call`` and send success to the run; on failure send the reason and return None."""
    try:
        result = call()
    except Exception as error:  # noqa: BLE001 -- whatever a tracker raises, the run continues without it
        connection.send((False, " ".join(str(error).split()) or type(error).__name__))
        return None
    connection.send((True, getattr(result, "description", "")))
    return result


if __name__ == "__main__":
    serve_tracker(Connection(int(sys.argv[1])))
