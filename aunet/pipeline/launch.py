"""One training in several processes: torchrun starts them and ends them all if one dies; this process waits."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from aunet.config.words import quote, without_keys
from aunet.errors import UserError
from aunet.machine import STOPS, count_cores, end_with_parent
from aunet.runs.rank_ends import forget_ends, read_first_end
from aunet.runs.run_record import RunRecord

# The time that a rank has after a stop signal to finish its step and save, before it is killed.
_SECONDS_TO_STOP = "50"


def train_on_ranks(words: Sequence[str], folder: Path, number: int) -> None:
    """Run ``aunet train`` with ``words`` in ``number`` processes on this machine, writing to ``folder``.

    Raises:
        KeyboardInterrupt: the user stopped it, and its checkpoint is written.
        UserError: a process failed for a reason that the user can mend.
        ChildProcessError: a process failed otherwise; the traceback of the first to fail is on stderr.
    """
    forget_ends(folder)
    stopped_before = RunRecord(folder).facts.get("ended")
    command = [
        sys.executable,
        *("-m", "aunet.pipeline.rank_watch", str(folder), "--standalone", "--nproc-per-node", str(number)),
        *("-m", "aunet.commands.main", "train", *words),
    ]
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, count_cores() // number)))
    environment = os.environ | {"OMP_NUM_THREADS": threads, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": _SECONDS_TO_STOP}
    # In its own session: Ctrl-C in the terminal reaches this process alone, which forwards it: the ranks get it once.
    prepare = _prepare_ranks if os.name == "posix" else None  # Windows calls nothing before the command
    process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=prepare)
    with _forward_signals(process) as received:
        status = process.wait()
    facts = RunRecord(folder).facts
    is_recorded = facts.get("status") == "interrupted" and facts.get("ended") != stopped_before
    if (received and status) or is_recorded:
        raise KeyboardInterrupt
    if status:
        _raise_failure(folder, number)


def _raise_failure(folder: Path, number: int) -> NoReturn:
    """Record and report the failure of the first rank to fail, of which rank 0 may not have survived."""
    end = read_first_end(folder)
    forget_ends(folder)
    if end is None or end.status == "interrupted":
        raise ChildProcessError(f"one of the {number} processes failed; see its traceback above.")
    record = RunRecord(folder)
    if record.facts.get("error") != str(end):
        record.end("failed", str(end))
    if end.is_users:
        raise UserError(str(end))
    raise ChildProcessError(f"one of the {number} processes failed: {end}. Its traceback, if any, is above.")


def words_of_ranks(words: Sequence[str], folder: Path) -> list[str]:
    """Return the overrides for the ranks of a resumed or extended run, in whose folder an extension is already set."""
    return [f"resume={quote(str(folder))}", *without_keys(words, ("resume", "extend", "trainer.max_epochs"))]


def _prepare_ranks() -> None:
    """Let the ranks end with this process, and ignore SIGUSR1, on which this process stops them."""
    end_with_parent()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@contextmanager
def _forward_signals(process: subprocess.Popen[bytes]) -> Generator[list[int]]:
    """Forward the signals of a stop to ``process`` as SIGTERM, at which torchrun stops each rank; yield those."""
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        process.send_signal(signal.SIGTERM)

    numbers = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]  # nohup's SIGHUP
    previous = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
