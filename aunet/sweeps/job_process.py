"""The process of a job on this machine, with its share of the cores and GPUs and a log in its folder."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from aunet.machine import count_cores
from aunet.runs.run_record import RunRecord
from aunet.sweeps.job import Job

LOG_NAME = "log.txt"
JOB_MODULE = "aunet.commands.sweep_job"
RUN_ID = "WANDB_RUN_ID"
_MESSAGE = re.compile(r"aunet: |[\w.]*(Error|Exception|Interrupt)\b")


class JobProcess:
    """A started job.

    Args:
        job: the job to run; its configuration is in its folder.
        threads: cores it may use.
        gpus: the GPUs it sees, by CUDA's numbers or names; None for all.
    """

    def __init__(self, job: Job, threads: int, gpus: Sequence[str] | None = None) -> None:
        self.job = job
        self._start = time.monotonic()
        environment = job_environment(threads)
        if gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        with (job.folder / LOG_NAME).open("ab") as log:
            # A session of its own: Ctrl-C reaches only the parent, which then stops its jobs after their step.
            self._process = subprocess.Popen(
                job_command(job),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._start

    @property
    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        return self._process.poll() is not None

    def stop(self, number: signal.Signals) -> None:
        """Send a signal to the process; SIGKILL also goes to the processes that it started."""
        if self.has_ended:
            return
        if os.name == "posix" and number == signal.SIGKILL:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)

    def record_failure(self) -> None:
        """Record in run.json that the run failed, if it ended too early to do so itself."""
        if self._process.poll() not in (0, None) and self.job.state.status == "waiting":
            RunRecord(self.job.folder).update(status="failed")


def job_command(job: Job) -> list[str]:
    """Return the command that starts the job's process as a child of this one."""
    return [sys.executable, "-m", JOB_MODULE, str(os.getpid()), *job.arguments()]


def job_environment(threads: int) -> dict[str, str]:
    """Return a job's environment: this code, ``threads`` cores unless the user set them, and a log's line width.

    ``RUN_ID`` is left out: it names one run, into which W&B would merge all jobs.
    """
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    inherited = {name: value for name, value in os.environ.items() if name != RUN_ID}
    return {"OMP_NUM_THREADS": str(threads), **inherited, **own}


def log_of(job: Job) -> Path:
    """Return the file with the job's output."""
    return job.folder / LOG_NAME


def last_message(job: Job) -> str:
    """Return the last line of the log with a message of aunet or an exception, else the last line."""
    path = log_of(job)
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    told = [line.strip() for line in lines if line.strip()]
    return next((line for line in reversed(told) if _MESSAGE.match(line)), told[-1] if told else "")


def thread_share(processes: int) -> int:
    """Return the number of cores for each of ``processes`` that compute at once."""
    return max(1, count_cores() // processes)


def visible_gpus() -> list[str]:
    """Return the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    return [name.strip() for name in named.split(",") if name.strip()]


def gpu_share(gpus: Sequence[str], processes: int, number: int) -> list[str] | None:
    """Return the GPUs of process ``number`` of ``processes``: its own if there are enough, else one in turn.

    None means all GPUs: there is nothing to divide.
    """
    if processes == 1 or len(gpus) < 2:
        return None
    each = max(1, len(gpus) // processes)
    first = number * each % len(gpus)
    return list(gpus[first : first + each])
