"""``aunet train``: one run from the configuration to the report, or a sweep of runs."""

from argparse import ArgumentParser
from collections.abc import Sequence

from aunet.commands.shared_options import check_new_runs, parse_words
from aunet.config.printing import split_cfg
from aunet.config.words import last_value, parse_word
from aunet.errors import UserError


def train(words: Sequence[str]) -> None:
    """Train with the Hydra overrides in ``words``; with ``-m``, once for each of their combinations."""
    part, is_resolved, others = split_cfg(words)
    options, overrides = parse_words(_parser(), others)
    if number := last_value(overrides, "jobs"):
        raise UserError(f"jobs={number}: not a setting of a run. Write --jobs {number} to run that many at once.")
    for word, is_given in (("--info", options.info), ("--cfg", part is not None)):
        if options.multirun and is_given:
            raise UserError(f"-m with {word}: {word} concerns a single run. Leave -m out.")
    if options.multirun:
        from aunet.commands.sweep import run_sweep

        check_new_runs(overrides, "a sweep")
        run_sweep(overrides, options.jobs)
        return
    _check_place(overrides)
    if options.jobs is not None:
        raise UserError(f"--jobs {options.jobs}: sets how many jobs of a sweep run at once. Add -m, or leave it out.")
    from aunet.pipeline.configuration import configure_for_costs, configure_run

    if options.info and part is None:
        from aunet.pipeline.costs import print_costs

        print_costs(configure_for_costs(overrides))
        return
    draft, folder = configure_run(overrides)
    if part is not None:
        draft.print(part, is_resolved=is_resolved)
        return
    from aunet.pipeline.run import start_run

    start_run(draft, folder, overrides)


def without_sweep_settings(words: Sequence[str]) -> list[str]:
    """Return the words that a single run takes: without a folder, name or launcher that only a sweep has."""
    left_out = ("hydra.sweep.", "hydra/launcher", "hydra.launcher", "hydra.sweeper")
    is_name_used = "${hydra.job.name}" in (last_value(words, "hydra.run.dir") or "")
    if not is_name_used:
        left_out = (*left_out, "hydra.job.name")
    return [word.text for word in map(parse_word, words) if not word.key.startswith(left_out)]


def _check_place(words: Sequence[str]) -> None:
    """Raise UserError for a folder, name or launcher that only a sweep has."""
    kept = without_sweep_settings(words)
    for word in map(parse_word, words):
        if word.text not in kept:
            raise UserError(f"{word.text}: a setting of sweeps, without effect here. Add -m, or leave it out.")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="aunet train",
        allow_abbrev=False,
        description="Train a network, record where it attends, predict and score the test cases, write a report.",
        epilog="Settings are Hydra overrides: model=attention data=ct150 data.root=/scans seed=1."
        " With -m, model=unet,attention is a sweep of two runs. conf/ holds the groups and their options.",
    )
    parser.add_argument("-m", "--multirun", action="store_true", help="a run for each combination of listed values")
    parser.add_argument("--jobs", type=int, metavar="N", help="with -m: N runs at once, sharing the processor's cores")
    # split_cfg parses it; it is here for --help.
    parser.add_argument("--cfg", action="store_true", help="print the configuration instead; --cfg job as Hydra does")
    parser.add_argument("--info", action="store_true", help="print cost, speed and expected end instead")
    return parser
