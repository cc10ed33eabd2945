"""The process of a job on a node of a cluster, stopped with a checkpoint when its time is up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from submitit import JobEnvironment
from submitit.helpers import DelayedSubmission

from aunet.sweeps.job_process import JOB_MODULE, LOG_NAME, job_environment, thread_share

_PAUSE_SECONDS = 0.5
# Time from SIGTERM, which a preempted job gets first, to the signal on which submitit queues it again.
_GRACE_SECONDS = 120.0
# Ports at which the nodes of a job meet: a range, so that jobs that share a node use different ones.
_FIRST_PORT, _PORTS = 20000, 10000


class ClusterJob:
    """A callable for each node of a job; queued again it continues, as its arguments contain ``resume=``.

    Args:
        arguments: of ``aunet train``.
        folder: of the run, absolute.
        devices: training processes on each node.
        save_seconds: time limit of saving.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, devices: int, save_seconds: float) -> None:
        self._arguments, self._folder = tuple(arguments), folder
        self._devices, self._save_seconds = devices, save_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run this node's part of the job, and return its exit status."""
        command = node_command(self._arguments, self._devices, JobEnvironment())
        environment = job_environment(thread_share(self._devices))
        with (self._folder / LOG_NAME).open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, preexec_fn=_ignore_signal_of_queue
            )
        while self._process.poll() is None:  # not wait(): checkpoint() interrupts this and waits itself
            time.sleep(_PAUSE_SECONDS)
        if self._process.returncode in (130, -signal.SIGTERM):
            time.sleep(_GRACE_SECONDS)
        return self._process.returncode

    def checkpoint(self) -> DelayedSubmission:
        """Stop the process after its step, and return the submission that continues it."""
        process, end = self._process, time.monotonic() + self._save_seconds
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            while process.poll() is None and time.monotonic() < end:
                time.sleep(_PAUSE_SECONDS)
        return DelayedSubmission(ClusterJob(self._arguments, self._folder, self._devices, self._save_seconds))


def node_command(arguments: Sequence[str], devices: int, node: JobEnvironment) -> list[str]:
    """Return the command that trains on a node; of several nodes, torchrun, with its rendezvous at the first."""
    if node.num_nodes == 1:
        return [sys.executable, "-m", JOB_MODULE, str(os.getpid()), *arguments]
    port = _FIRST_PORT + sum(map(int, node.job_id.split("_"))) % _PORTS
    return [
        *(
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nnodes",
            str(node.num_nodes),
            "--nproc-per-node",
            str(devices),
        ),
        *("--rdzv-backend", "c10d", "--rdzv-id", node.job_id, "--rdzv-endpoint", f"{node.hostnames[0]}:{port}"),
        *("-m", "aunet.commands.main", "train", *arguments),
    ]


def _ignore_signal_of_queue() -> None:
    """Ignore SLURM's signal that the time is nearly over: every process of a job gets it, submitit's acts on it."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
