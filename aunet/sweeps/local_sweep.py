"""The jobs of a sweep on this machine, in their order."""

import time
from collections.abc import Sequence

from aunet.runs.run_lock import is_locked
from aunet.sweeps.job import Job
from aunet.sweeps.local_queue import PAUSE_SECONDS, LocalQueue
from aunet.sweeps.queue_display import QueueDisplay


def run_jobs_here(jobs: Sequence[Job], at_once: int) -> None:
    """Run each job to its end, even if others fail; on Ctrl-C all stop with a checkpoint."""
    waiting = list(jobs)
    taken: set[str] = set()
    with LocalQueue(at_once) as queue, QueueDisplay(len(jobs)) as display:
        while waiting or queue.running:
            for job in [job for job in waiting if is_locked(job.folder) and job.name not in taken]:
                display.tell(f"{job.name} is under way in another process; it is waited for.")
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
