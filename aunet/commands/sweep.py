"""``aunet train -m``: each job of a sweep is a process of its own, so that one that crashes takes no other along."""

import logging
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from aunet.config import check_config, compose_config, split_sweep
from aunet.errors import UserError
from aunet.reporting.tables import table_console
from aunet.training.run_record import RunRecord

_log = logging.getLogger(__name__)
_INTERRUPTED = 130
_NOT_IN_NAMES = re.compile(r"[^\w.=-]+")


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    overrides: tuple[str, ...]
    folder: Path


def run_sweep(overrides: Sequence[str]) -> None:
    """Check all jobs, run them one after another, print where each ended and how it scored."""
    jobs = _jobs(overrides)
    for number, job in enumerate(jobs, start=1):
        _log.info("Job %d of %d: %s", number, len(jobs), " ".join(job.overrides))
        command = [
            sys.executable,
            "-m",
            "aunet.commands.main",
            "train",
            *job.overrides,
            f"hydra.run.dir='{job.folder}'",
        ]
        if subprocess.run(command).returncode == _INTERRUPTED:
            raise KeyboardInterrupt
    _print_summary(jobs)
    failed = [job for job in jobs if _status(job) != "finished"]
    if failed:
        raise UserError(f"{len(failed)} of {len(jobs)} jobs did not finish; their messages stand above.")


def _jobs(overrides: Sequence[str]) -> list[Job]:
    lists = split_sweep(overrides)
    varying = {word for words in lists for word in words if not all(word in others for others in lists)}
    jobs: list[Job] = []
    sweep_folder: Path | None = None
    for number, words in enumerate(lists):
        config = compose_config(words)
        check_config(config)
        sweep_folder = sweep_folder or Path(str(config.hydra.sweep.dir))
        name = "_".join(word for word in words if word in varying) or str(config.model.name)
        jobs.append(Job(tuple(words), sweep_folder / f"{number}_{_NOT_IN_NAMES.sub('-', name)}"))
    return jobs


def _status(job: Job) -> str:
    return str(RunRecord(job.folder).facts.get("status", "not started"))


def _print_summary(jobs: Sequence[Job]) -> None:
    table = Table("Job", "Status", "Test Dice", title="Sweep")
    for job in jobs:
        scores = RunRecord(job.folder).facts.get("scores", {})
        dice = ", ".join(
            f"{name} {values['dice']['mean']:.3f}" for name, values in scores.items() if values["dice"]["count"]
        )
        table.add_row(job.folder.name, _status(job), dice)
    console = table_console()
    console.print(table)
    folder = jobs[0].folder.parent
    folds = " --folds" if any(word.startswith("data.fold=") for job in jobs for word in job.overrides) else ""
    hint = f"Compare them: aunet compare {folder}/[0-9]*{folds} --output {folder}/comparison"
    console.print(hint, markup=False, soft_wrap=True)
