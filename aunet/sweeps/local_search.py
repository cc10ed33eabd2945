"""The trials of a search on this machine: started, watched, given up or finished."""

import signal
import time
from collections.abc import Callable

from optuna.trial import Trial

from aunet.errors import UserError
from aunet.runs.run_lock import is_locked
from aunet.runs.run_record import RunRecord
from aunet.sweeps.job import Job
from aunet.sweeps.job_process import JobProcess
from aunet.sweeps.local_queue import PAUSE_SECONDS, LocalQueue
from aunet.sweeps.queue_display import QueueDisplay
from aunet.sweeps.study import Study

_WATCH_SECONDS = 1.0


class LocalSearch:
    """The trials of ``study``, ``at_once`` at a time, until there are ``total``; ``make_job`` makes a trial's job."""

    def __init__(self, study: Study, total: int, at_once: int, make_job: Callable[[Trial], Job]) -> None:
        self._study, self._total, self._make_job = study, total, make_job
        self._queue, self._display = LocalQueue(at_once), QueueDisplay(total)
        self._begun = study.begun()
        self._trials: dict[str, Trial] = {}
        self._given_up: set[str] = set()
        self._watched_at = float("-inf")

    def run(self) -> None:
        """Run the trials, first those that an earlier command did not end; on Ctrl-C all stop with a checkpoint."""
        with self._queue as queue, self._display as display:
            while self._begun or queue.running or self._study.count < self._total:
                self._start_next()
                self._watch()
                for process in queue.take_ended():
                    self._end(process.job)
                waiting = self._total - self._study.count + len(self._begun)
                display.show([(process.job, process.seconds) for process in queue.running], waiting)
                time.sleep(PAUSE_SECONDS)

    def _start_next(self) -> None:
        """Start the next trial if there is room."""
        if not self._queue.has_room or not (self._begun or self._study.count < self._total):
            return
        trial = self._begun.pop(0) if self._begun else self._study.next_trial()
        try:
            job = self._make_job(trial)
        except UserError as error:
            self._display.tell(f"trial {trial.number} cannot run: {error}")
            self._study.fail(trial)
            return
        if is_locked(job.folder):  # the job of a killed search is still saving
            self._begun.append(trial)
            return
        self._trials[job.name] = trial
        if job.state.status == "finished":
            self._end(job)
        else:
            job.prepare()
            self._display.tell(f"{job.name}: {' '.join(self._study.words(trial)[-len(trial.params) :])}")
            self._queue.start(job)

    def _watch(self) -> None:
        """Report the validation scores to the study, and stop the trials that it abandons."""
        if time.monotonic() - self._watched_at < _WATCH_SECONDS:
            return
        self._watched_at = time.monotonic()
        for process in self._queue.running:
            if process.job.name not in self._given_up and self._is_to_be_given_up(process):
                self._given_up.add(process.job.name)
                process.stop(signal.SIGTERM)

    def _is_to_be_given_up(self, process: JobProcess) -> bool:
        return self._study.is_to_be_given_up(self._trials[process.job.name], process.job.state)

    def _end(self, job: Job) -> None:
        if job.name in self._given_up and job.state.status != "finished":
            RunRecord(job.folder).end("pruned")
        self._study.end(self._trials[job.name], job.state)
        self._display.tell_end(job)
