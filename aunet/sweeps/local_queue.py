"""Processes on this machine, a few at a time; leaving the block stops them, each with a checkpoint."""

import logging
import os
import signal
import time
from collections.abc import Sequence
from types import TracebackType

from aunet.runs.run_lock import is_locked
from aunet.sweeps.job import Job
from aunet.sweeps.job_process import JobProcess, gpu_share, thread_share, visible_gpus
from aunet.sweeps.queue_display import QueueDisplay

_log = logging.getLogger(__name__)
PAUSE_SECONDS = 0.2
# Windows has no SIGKILL; there SIGTERM kills.
_KILL = signal.SIGKILL if os.name == "posix" else signal.SIGTERM
# For the first, the second and the third Ctrl-C.
_STOPS = (
    (signal.SIGTERM, "after their step, with a checkpoint; Ctrl-C again to stop them at once"),
    (signal.SIGINT, "at once; Ctrl-C again to kill them"),
    (_KILL, "by killing them"),
)


class LocalQueue:
    """Up to ``at_once`` jobs that share the cores and GPUs of this machine.

    Use it as a context manager: leaving it with running jobs, by Ctrl-C or an error, stops them and waits.
    """

    def __init__(self, at_once: int) -> None:
        self._slots: list[JobProcess | None] = [None] * at_once
        self._gpus = visible_gpus()

    @property
    def running(self) -> list[JobProcess]:
        """Return the running jobs."""
        return [process for process in self._slots if process is not None]

    @property
    def has_room(self) -> bool:
        """Return whether one more job may start."""
        return None in self._slots

    def start(self, job: Job) -> None:
        """Start a job in a free slot."""
        place, count = self._slots.index(None), len(self._slots)
        threads = thread_share(count * job.devices)
        self._slots[place] = JobProcess(job, threads, gpu_share(self._gpus, count, place))

    def take_ended(self) -> list[JobProcess]:
        """Return the jobs that ended since the last call, and free their slots."""
        ended = [process for process in self.running if process.has_ended]
        for process in ended:
            self._slots[self._slots.index(process)] = None
            process.record_failure()
        return ended

    def __enter__(self) -> "LocalQueue":
        """Return the queue."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the running jobs, with each further Ctrl-C by a stronger signal."""
        for number, how in _STOPS:
            if not self.running:
                break
            _log.warning("Stopping %d jobs %s.", len(self.running), how)
            try:
                self._stop_all(number)
            except KeyboardInterrupt:
                continue
        if kind is KeyboardInterrupt:
            _log.warning("Stopped. The same command continues.")

    def _stop_all(self, number: signal.Signals) -> None:
        for process in self.running:
            process.stop(number)
        while self.running:
            self.take_ended()
            time.sleep(PAUSE_SECONDS)


def run_jobs_here(jobs: Sequence[Job], at_once: int) -> None:
    """Run each job to its end, even if others fail; on Ctrl-C all stop with a checkpoint."""
    waiting = list(jobs)
    taken: set[str] = set()
    with LocalQueue(at_once) as queue, QueueDisplay(len(jobs)) as display:
        while waiting or queue.running:
            for job in [job for job in waiting if is_locked(job.folder) and job.name not in taken]:
                display.tell(f"Waiting for {job.name}, which another process is training.")
                taken.add(job.name)
            _start_next(waiting, queue, display)
            for process in queue.take_ended():
                display.tell_end(process.job)
            display.show([(process.job, process.seconds) for process in queue.running], len(waiting))
            time.sleep(PAUSE_SECONDS)


def _start_next(waiting: list[Job], queue: LocalQueue, display: QueueDisplay) -> None:
    """Fill the free slots with jobs on which no other process works."""
    for job in [job for job in waiting if not is_locked(job.folder)]:
        if not queue.has_room:
            return
        waiting.remove(job)
        if job.state.status != "finished":
            display.tell_start(job)
            queue.start(job)
