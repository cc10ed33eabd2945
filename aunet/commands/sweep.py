"""``aunet train -m``: a run for each combination of the listed values; the same command again continues them."""

import logging
import os
import re
import shlex
from collections.abc import Sequence

from aunet.config.words import key_of
from aunet.errors import UserError
from aunet.files import write_text
from aunet.runs.code_state import read_code_state
from aunet.runs.run_lock import locked_folder
from aunet.sweeps.job import Job
from aunet.sweeps.job_process import RUN_ID
from aunet.sweeps.job_tables import job_table
from aunet.sweeps.local_queue import run_jobs_here
from aunet.sweeps.sweep_plan import SweepPlan, plan_sweep, write_plan
from aunet.terminal import table_console

_log = logging.getLogger(__name__)


def run_sweep(overrides: Sequence[str], at_once: int | None) -> None:
    """Check all jobs, run the unfinished ones, and print the status and scores of each."""
    if at_once is not None and at_once < 1:
        raise UserError(f"--jobs {at_once}: it must be at least 1.")
    plan = plan_sweep(overrides)
    with locked_folder(plan.folder):
        write_plan(plan)
        _log.info("Sweep of %d jobs in %s", len(plan.jobs), plan.folder)
        if run_id := os.environ.get(RUN_ID):
            _log.warning("%s=%s is left out: it would merge all jobs into one run of W&B.", RUN_ID, run_id)
        unfinished = _unfinished(plan.jobs)
        _run(plan, unfinished, at_once)
        _print_summary(plan)
        if plan.study:
            _compare(plan)
    if missing := [job for job in plan.jobs if job.state.status != "finished"]:
        raise UserError(
            f"{len(missing)} of {len(plan.jobs)} jobs did not finish: {', '.join(job.name for job in missing)}. Their"
            " messages are above and in their log.txt. The same command runs these jobs again, and no others."
        )


def _run(plan: SweepPlan, jobs: Sequence[Job], at_once: int | None) -> None:
    if plan.launcher == "basic":
        run_jobs_here(jobs, 1 if at_once is None else at_once)
    else:
        from aunet.sweeps.cluster_queue import run_jobs_on_cluster

        run_jobs_on_cluster(jobs, plan.folder, plan.launcher_settings, at_once)


def _unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs to run; finished ones are kept, with a warning if other code ran them."""
    states = {job.name: job.state for job in jobs}
    finished = [job for job in jobs if states[job.name].status == "finished"]
    if finished:
        _log.info("%d of %d jobs are finished and kept.", len(finished), len(jobs))
    commit = read_code_state().commit
    if other := [job.name for job in finished if states[job.name].commit != commit]:
        _log.warning(
            "The code has changed since %s; delete a job's folder to run it again, or name a new sweep with"
            " hydra.job.name=another_name.",
            ", ".join(other),
        )
    return [job for job in jobs if job not in finished]


def _print_summary(plan: SweepPlan) -> None:
    table = job_table(f"Sweep {plan.folder.name}", plan.jobs)
    write_text(plan.folder / "summary.md", table.as_markdown())
    console = table_console()
    console.print(table)
    finished = [job for job in plan.jobs if job.state.status == "finished"]
    if len(finished) > 1 and not plan.study:
        folders = shlex.join(str(job.folder) for job in finished)
        output = shlex.quote(f"{plan.folder}/comparison")
        options = compare_options(finished)
        options += " --allow-missing-folds" if "--folds" in options and len(finished) < len(plan.jobs) else ""
        hint = f"Compare them: aunet compare {folders}{options} --output {output}"
        console.print(hint, markup=False, soft_wrap=True)


def _compare(plan: SweepPlan) -> None:
    """Write the comparison of a study's arms to its folder; arms, seeds and folds without a run are missing in it."""
    from aunet.commands.compare import compare_arms, read_runs
    from aunet.evaluation.arms import arms_of_study
    from aunet.pipeline.comparison_files import ComparisonOptions

    finished = [job.folder for job in plan.jobs if job.state.status == "finished"]
    if not finished:
        return
    has_folds = "--folds" in compare_options(plan.jobs)
    trusted = plan.jobs[0].trusted_modules
    runs = read_runs(
        finished, has_folds, are_differences_allowed=True, fewest=1, trusted_modules=trusted, may_miss=True
    )
    arms = arms_of_study(runs, {job.folder: job.arm for job in plan.jobs}, finished)
    compare_arms(arms, plan.folder / "comparison", ComparisonOptions(), trusted)


def compare_options(jobs: Sequence[Job]) -> str:
    """Return the options that ``aunet compare`` needs for these jobs."""
    varied = {key_of(word) for job in jobs for word in job.words if any(word not in other.words for other in jobs)}
    is_model_alone = all(re.match(r"model\b|seed$|data\.fold$", key) for key in varied)
    has_folds = any(key_of(word) == "data.fold" for job in jobs for word in job.words)
    return (" --folds" if has_folds else "") + ("" if is_model_alone else " --allow-differences")
