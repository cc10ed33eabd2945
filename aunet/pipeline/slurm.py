"""A run as a job of SLURM: on SIGUSR1 (``sbatch --signal=USR1@120``) stop with a checkpoint, and requeue if asked.

With ``trainer.requeue=true`` the job is queued again (``scontrol requeue``), and the same command, started again by
SLURM, finds the run that the job began and continues it.
"""

import logging
import os
import signal
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from aunet.config.words import without_keys
from aunet.files import read_json_if_sound
from aunet.machine import is_started_as_rank
from aunet.runs.run_folder import RunFolder, runs_inside

_log = logging.getLogger(__name__)
_SIGNAL = "SIGUSR1"  # Windows has no such signal
_JOB = "SLURM_JOB_ID"


def mark_job(words: Sequence[str]) -> list[str]:
    """Return what identifies the command with ``words`` in this job of SLURM, for ``run.json``; empty outside SLURM."""
    job = os.environ.get(_JOB)
    return [] if job is None else [job, *without_keys(words, ("hydra.run.dir",))]


def find_requeued_run(folder: Path, words: Sequence[str]) -> Path | None:
    """Return the run that this command began before its job was queued again; None if there is none.

    Args:
        folder: of a new run; an earlier one of the same command is this one or lies beside it.
        words: of the command.
    """
    mark = mark_job(words)
    if not mark or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    for run in (folder, *runs_inside(folder.parent)):
        if read_json_if_sound(RunFolder(run).record).get("slurm_job") == mark:
            _log.info("Job %s was queued again; %s continues.", mark[0], run)
            return run
    return None


def warn_of_copies() -> None:
    """Log a warning if srun started this command several times, and torchrun did not."""
    copies = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if copies != "1" and not is_started_as_rank():
        _log.warning(
            "srun started this command %s times, and each trains a run of its own. For one run write srun --ntasks=1,"
            " with trainer.devices for several GPUs.",
            copies,
        )


@contextmanager
def stopping_on_signal(*, is_requeued: bool) -> Generator[None]:
    """Treat SIGUSR1 in the block like SIGTERM, and then queue this job of SLURM again if ``is_requeued``."""
    number: signal.Signals | None = signal.Signals.__members__.get(_SIGNAL)
    if number is None:
        yield
        return
    received: list[int] = []

    def stop(of: int, frame: FrameType | None) -> None:
        received.append(of)
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            raise KeyboardInterrupt  # nothing is trained yet
        signal.raise_signal(signal.SIGTERM)  # in this thread: os.kill may take effect only after the block has ended

    # The process that started the ranks stops them; they ignore what reaches the whole job.
    before = signal.signal(number, signal.SIG_IGN if is_started_as_rank() else stop)
    try:
        yield
    except KeyboardInterrupt:
        if received and is_requeued:
            _requeue()
        raise
    finally:
        signal.signal(number, before)


def _requeue() -> None:
    job = os.environ.get(_JOB)
    if job is None:
        _log.warning("trainer.requeue=true: this is not a job of SLURM, so nothing is queued again.")
        return
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        _log.error("scontrol requeue %s failed (%s); the run continues with resume=.", job, done.stderr.strip())
    else:
        _log.info("Job %s is queued again; the same command will continue this run.", job)
