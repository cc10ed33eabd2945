"""``resume=`` of a finished run, for which nothing is left to do."""

import logging
import math
from pathlib import Path

from aunet.machine import started_rank
from aunet.messages import counted, train_command
from aunet.runs.inner_folders import CheckpointFolder
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_state import read_run_state
from aunet.training.time_plan import duration_in_seconds

_log = logging.getLogger(__name__)


def is_longer(max_time: str | None, than: str | None) -> bool:
    """Return whether one time limit (DD:HH:MM:SS) is longer than another; None means no limit."""
    first, second = (math.inf if (limit := duration_in_seconds(text)) is None else limit for text in (max_time, than))
    return first > second


def is_nothing_left(folder: Path, max_time: str | None) -> bool:
    """Return whether the run in ``folder`` is finished, and stays so with the time limit ``max_time``; if so, log it.

    Write the report if the process that finished the run did not get to it.
    """
    run, run_folder = read_run_state(folder), RunFolder(folder)
    if run.status != "finished" or (run.ended_by == "max_time" and is_longer(max_time, run.max_time)):
        return False
    if _is_last_damaged(run_folder.checkpoints):
        return False  # training resumes from the checkpoint before it and writes it again
    if started_rank() == 0:  # only one of torchrun's processes logs
        _log.info(
            "%s is finished: trainer.%s ended it after %s, so nothing is left to do. To train longer:"
            " %s extend=%s trainer.%s",
            folder,
            run.ended_by,
            counted(run.num_epochs, "epoch"),
            train_command(),
            folder,
            "max_time=DD:HH:MM:SS" if run.ended_by == "max_time" else "max_epochs=N",
        )
        if not run_folder.report.is_file():
            from aunet.reporting.report import build_report

            _log.info("Report: %s", build_report(folder))
    return True


def _is_last_damaged(checkpoints: CheckpointFolder) -> bool:
    """Return whether the last checkpoint is unreadable and the one before exists to repeat the end of the training."""
    from aunet.training.callbacks.checkpoints import is_readable

    last, previous = checkpoints.last, checkpoints.previous
    return last.is_file() and previous.is_file() and not is_readable(last)
