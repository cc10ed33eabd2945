"""``aunet search``: a search for the settings with the best validation Dice; the same command again continues it."""

import logging
import shlex
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.commands.shared_options import check_new_runs, parse_words
from aunet.errors import UserError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

    from aunet.sweeps.job import Job
    from aunet.sweeps.search_space import SearchSpace
    from aunet.sweeps.study import Study

_log = logging.getLogger(__name__)


def search(words: Sequence[str]) -> None:
    """Run trials that choose among the values listed in ``words``, and print the best settings to copy."""
    options, overrides = parse_words(_parser(), words)
    for name in ("trials", "jobs"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} {getattr(options, name)}: a search needs at least one.")
    check_new_runs(overrides, "a search")
    try:
        from aunet.sweeps.search_space import read_search_space
    except ModuleNotFoundError as error:
        raise UserError(f"aunet search needs {error.name}: pip install 'aunet[search]'.") from None
    _search(overrides, read_search_space(overrides), options.trials, options.jobs)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="aunet search",
        allow_abbrev=False,
        description="Search for the settings of the best validation Dice, with Optuna: TPE, median pruning by epoch.",
        epilog="Settings are Hydra overrides; those to choose from are written as in a sweep: model=unet,attention"
        " 'optimizer.factory.lr=tag(log,interval(1e-4,1e-2))' trainer.max_epochs=30.",
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=20,
        metavar="N",
        help="number of trials, including those of earlier commands; 20 by default",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="N trials at once, sharing the processor's cores"
    )
    return parser


def _search(overrides: Sequence[str], space: "SearchSpace", total: int, at_once: int) -> None:
    from aunet.config.draft import compose_draft
    from aunet.config.words import key_of
    from aunet.runs.run_lock import locked_folder
    from aunet.sweeps.local_search import LocalSearch
    from aunet.sweeps.study import Study
    from aunet.sweeps.sweep_plan import check_launcher, name_sweep

    name = name_sweep(overrides, "search", sorted(key_of(key).rpartition(".")[2] for key in space.choices))
    drafts = [compose_draft([*words, *name]) for words in space.corners()]
    if check_launcher(drafts[0].launcher) != "basic":
        raise UserError("hydra/launcher: a search runs on one machine, --jobs at once. Leave the launcher out.")
    folder = drafts[0].sweep_folder
    with locked_folder(folder):
        study = Study(folder, space, drafts[0].seed, drafts[0].trainer.max_epochs)
        _log.info("Search in %s: %d trials so far, %d in all", folder, study.count, total)
        LocalSearch(study, total, at_once, lambda trial: _job(study, trial, folder)).run()
        _print_result(study, folder)


def _job(study: "Study", trial: "Trial | FrozenTrial", folder: Path) -> "Job":
    """Return the run of a trial, its settings checked."""
    from aunet.config.draft import compose_draft
    from aunet.sweeps.job import Job

    words = study.words(trial)
    return Job.of_sweep(words, folder / f"trial_{trial.number:03d}", compose_draft(words))


def _print_result(study: "Study", folder: Path) -> None:
    from aunet.commands.train import without_sweep_settings
    from aunet.files import write_text
    from aunet.runs.run_state import read_run_state
    from aunet.sweeps.job_tables import trial_table
    from aunet.terminal import table_console

    rows = [(trial.params, read_run_state(folder / f"trial_{trial.number:03d}")) for trial in study.trials]
    table = trial_table(f"Search {folder.name}", rows)
    write_text(folder / "summary.md", table.as_markdown())
    console = table_console()
    console.print(table)
    if study.best is None:
        raise UserError(f"{folder}: no trial has finished; their messages are above and in their log.txt.")
    best = shlex.join(without_sweep_settings(study.words(study.best)))
    console.print(f"Best, trial {study.best.number}: aunet train {best}", markup=False, soft_wrap=True)
