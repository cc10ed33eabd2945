"""The jobs of a sweep on SLURM, through submitit: submitted once, watched, and found again by the same command."""

import logging
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from aunet.errors import UserError
from aunet.files import read_json_object, write_json
from aunet.runs.run_lock import is_locked
from aunet.sweeps.job import Job, resume_word
from aunet.sweeps.queue_display import QueueDisplay

try:
    import submitit
except ModuleNotFoundError:
    raise UserError("hydra/launcher=submitit_slurm needs submitit: pip install 'aunet[slurm]'.") from None

from aunet.sweeps.cluster_job import ClusterJob

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0
# High enough that a job is queued again as often as it runs out of time.
_MOST_TIMEOUTS = 1000
_RESUBMIT = "Delete it: the jobs that it names are submitted again."
# Settings of the launcher, and submitit's parameters, which are its own.
Parameters = Mapping[str, Any]


class ClusterQueue:
    """Jobs submitted to a cluster.

    Args:
        folder: holds submitit's files and the ids of the jobs.
        settings: of ``hydra.launcher``.
        at_once: how many jobs of one submission may run together; None: as many as the cluster allows.
    """

    def __init__(self, folder: Path, settings: Parameters, at_once: int | None) -> None:
        self._folder, self._settings, self._at_once = folder.resolve(), settings, at_once
        self._ids_file = self._folder / "jobs.json"
        self._submitted: dict[str, submitit.Job[int]] = {}

    def find(self, jobs: Sequence[Job]) -> None:
        """Recover the jobs that an earlier command submitted and that SLURM has not ended."""
        ids = read_json_object(self._ids_file, _RESUBMIT) if self._ids_file.is_file() else {}
        if self._settings["cluster"] != "slurm":
            return
        for job in jobs:
            if job.name in ids:
                earlier: submitit.Job[int] = submitit.SlurmJob(self._folder, str(ids[job.name]))
                if not earlier.done(force_check=True):
                    self._submitted[job.name] = earlier

    def submit(self, jobs: Sequence[Job]) -> None:
        """Submit the jobs that are not on the cluster yet, those with equal parameters as one array."""
        new = [job for job in jobs if job.name not in self._submitted and not is_locked(job.folder)]
        needs = {job.name: cluster_parameters(job, self._settings, self._at_once) for job in new}
        for _, group in groupby(
            sorted(new, key=lambda job: str(needs[job.name])), key=lambda job: str(needs[job.name])
        ):
            members = list(group)
            executor = self._executor(needs[members[0].name])
            with executor.batch():
                submitted = [executor.submit(self._callable(job)) for job in members]
            self._submitted |= {job.name: handle for job, handle in zip(members, submitted, strict=True)}
        write_json(self._ids_file, {name: handle.job_id for name, handle in self._submitted.items()})

    def ids(self) -> list[str]:
        """Return the cluster's ids of the jobs."""
        return [handle.job_id for handle in self._submitted.values()]

    def is_done(self, job: Job) -> bool:
        """Return whether the cluster has ended the job."""
        return job.name not in self._submitted or self._submitted[job.name].done()

    def _executor(self, parameters: Parameters) -> submitit.AutoExecutor:
        cluster = self._settings["cluster"]
        try:
            executor = submitit.AutoExecutor(self._folder, cluster, slurm_max_num_timeout=_MOST_TIMEOUTS)
            executor.update_parameters(**parameters)
        except (RuntimeError, ValueError, NameError, AssertionError) as error:
            raise UserError(
                f"hydra.launcher: {' '.join(str(error).split())}. Outside a cluster, hydra.launcher.cluster=local tries"
                " the same on one machine."
            ) from error
        return executor

    def _callable(self, job: Job) -> ClusterJob:
        arguments = [resume_word(job.folder.resolve()), *job.arguments()[1:]]
        return ClusterJob(arguments, job.folder.resolve(), job.devices, self._settings["signal_delay_s"])


def cluster_parameters(job: Job, settings: Parameters, at_once: int | None) -> Parameters:
    """Return submitit's parameters for a job: one task per node, with a GPU and cores for each training process."""
    parameters = {
        "name": "aunet",
        "nodes": settings["nodes"],
        "tasks_per_node": 1,
        "gpus_per_node": 0 if job.accelerator == "cpu" else job.devices,
        "cpus_per_task": settings["cpus_per_device"] * job.devices,
        "timeout_min": settings["timeout_min"],
        "mem_gb": settings["mem_gb"],
        "slurm_signal_delay_s": settings["signal_delay_s"],
        "slurm_setup": settings["setup"] or None,
        "slurm_additional_parameters": settings["additional_parameters"] or None,
        "slurm_array_parallelism": at_once,
        **{f"slurm_{name}": settings[name] for name in ("partition", "account", "qos")},
    }
    return {name: value for name, value in parameters.items() if value is not None}


def run_jobs_on_cluster(jobs: Sequence[Job], folder: Path, settings: Parameters, at_once: int | None) -> None:
    """Submit the jobs and watch them to their end; Ctrl-C only ends the watching."""
    queue = ClusterQueue(folder / "cluster", settings, at_once)
    queue.find(jobs)
    queue.submit(jobs)
    _log.info("With the cluster: %s", " ".join(queue.ids()))
    try:
        _watch(queue, list(jobs))
    except KeyboardInterrupt:
        _log.warning(
            "The jobs continue; the same command watches them again, and scancel %s ends them.", " ".join(queue.ids())
        )
        raise


def _watch(queue: ClusterQueue, waiting: list[Job]) -> None:
    with QueueDisplay(len(waiting)) as display:
        while waiting:
            for job in [job for job in waiting if queue.is_done(job) and not is_locked(job.folder)]:
                waiting.remove(job)
                display.tell_end(job)
            running = [(job, job.state) for job in waiting if is_locked(job.folder)]
            display.show([(job, state.seconds) for job, state in running], len(waiting) - len(running))
            time.sleep(_PAUSE_SECONDS)
