"""Jobs whose processes are a few lines of Python instead of a training."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aunet.sweeps import job_process
from aunet.sweeps.job import Job

MakeJob = Callable[..., Job]


def make_job(folder: Path, program: str) -> Job:
    """Return a job that runs ``program``, with the job's folder in ``folder``."""
    job = Job((folder.name,), folder, {"program": program})
    job.prepare()
    return job


def run_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes of jobs run their programs."""
    begin = "import json, os, signal, sys, time; from pathlib import Path; folder = Path(sys.argv[1])\n"

    def command(job: Job) -> list[str]:
        return [sys.executable, "-c", begin + str(job.plain["program"]), str(job.folder)]

    monkeypatch.setattr(job_process, "job_command", command)


FINISH = "(folder / 'run.json').write_text(json.dumps({'status': 'finished'}))\n"
