"""What a node of a cluster runs: the process of a job, stopped with a checkpoint when its time is up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from submitit.helpers import DelayedSubmission

from aunet.sweeps.job_process import JOB_MODULE, LOG_NAME, job_environment
from aunet.sweeps.machine_shares import thread_share

_PAUSE_SECONDS = 0.5
# From SIGTERM, which a preempted job gets first, to the signal with which submitit queues it again.
_GRACE_SECONDS = 120.0


class ClusterJob:
    """Called on a node, once for each of its tasks; queued again it goes on, as its arguments say ``resume=``.

    Args:
        arguments: of ``aunet train``.
        folder: of the run, absolute.
        save_seconds: how long saving may take.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, save_seconds: float) -> None:
        self._arguments, self._folder, self._save_seconds = tuple(arguments), folder, save_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run the job; its exit status."""
        command = [sys.executable, "-m", JOB_MODULE, str(os.getpid()), *self._arguments]
        with (self._folder / LOG_NAME).open("ab") as log:
            self._process = subprocess.Popen(command, env=job_environment(thread_share(1)), stdout=log, stderr=log)
        while self._process.poll() is None:  # and not wait(): checkpoint() interrupts this and waits itself
            time.sleep(_PAUSE_SECONDS)
        if self._process.returncode in (130, -signal.SIGTERM):
            time.sleep(_GRACE_SECONDS)
        return self._process.returncode

    def checkpoint(self) -> DelayedSubmission:
        """Stop the process after its step, and give what goes on with it."""
        process, end = self._process, time.monotonic() + self._save_seconds
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            while process.poll() is None and time.monotonic() < end:
                time.sleep(_PAUSE_SECONDS)
        return DelayedSubmission(ClusterJob(self._arguments, self._folder, self._save_seconds))
