"""`aunet compare`: put runs side by side in the paper's table, with paired statistics of their differences."""

import argparse
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.commands.shared_options import add_output, add_trust, check_output, path_argument
from aunet.pipeline.second_process import Worker, second_process

if TYPE_CHECKING:
    from torch import nn

    from aunet.evaluation.arms import Arm
    from aunet.evaluation.compared_run import ComparedRun
    from aunet.pipeline.comparison_files import ComparisonOptions

# Timed forward passes of each run: five, or as few as three if no more begin within the seconds.
_MOST_ROUNDS, _FEWEST_ROUNDS, _TIMING_SECONDS = 5, 3, 0.5
# Loaded by the second process.
DRAWING = (
    "aunet.pipeline.comparison_files",
    "aunet.pipeline.comparison_pictures",
    "aunet.reporting.viewer.section",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet compare``."""
    parser.add_argument(
        "runs", nargs="+", type=path_argument, metavar="RUN", help="run folders; the first is the baseline"
    )
    add_output(parser, "folder for the tables")
    add_trust(parser)
    parser.add_argument(
        "--folds", action="store_true", help="pool the runs of -m data.fold=0,1,2,3,4: every case is tested once"
    )
    parser.add_argument(
        "--allow-missing-folds",
        action="store_true",
        help="with --folds, pool the folds that exist, although some cases are tested in none; marked in the tables",
    )
    parser.add_argument(
        "--margin",
        type=_margin,
        default=0.02,
        metavar="DICE",
        help="difference of an overlap within which two models count as equivalent (default: 0.02)",
    )
    parser.add_argument(
        "--margin-mm",
        type=_margin,
        metavar="MM",
        help="difference of a distance within which two models count as equivalent (default: none)",
    )
    parser.add_argument(
        "--primary",
        nargs="+",
        default=["dice"],
        metavar="METRIC",
        help="metrics that the study is about, such as dice or assd_mm: their differences are corrected for their own"
        " number, the others apart; all corrects all rows together (default: dice)",
    )
    parser.add_argument("--no-figures", action="store_true", help="write only the tables and the summary")
    parser.add_argument(
        "--allow-differences",
        action="store_true",
        help="compare runs that differ in more than the model (loss, epochs, training cases, …), and mark the tables",
    )


def _margin(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a margin must be a number above 0.")
    return value


def compare(arguments: argparse.Namespace) -> None:
    """Print the comparison and write its tables, figures and summary."""
    check_output(arguments.output)
    # Figures need no torch, which this process loads meanwhile.
    with nullcontext(Worker()) if arguments.no_figures else second_process(DRAWING) as worker:
        from aunet.evaluation.arms import gather_arms
        from aunet.pipeline.comparison_files import ComparisonOptions

        options = ComparisonOptions(
            arguments.margin, arguments.margin_mm, not arguments.no_figures, tuple(arguments.primary)
        )
        runs = read_runs(
            arguments.runs,
            arguments.folds,
            arguments.allow_differences,
            trusted_modules=arguments.trust,
            may_miss=arguments.allow_missing_folds,
        )
        compare_arms(gather_arms(runs), arguments.output, options, arguments.trust, worker)


def compare_arms(
    arms: "Sequence[Arm]",
    folder: Path,
    options: "ComparisonOptions",
    trusted_modules: Sequence[str] = (),
    worker: Worker | None = None,
) -> None:
    """Test the differences of ``arms``, measure their networks, and write the comparison to ``folder``.

    ``worker`` draws; None for this process.
    """
    from aunet.pipeline.comparison_files import begin_figures, judge_differences, write_comparison

    worker = worker or Worker()
    results = judge_differences(arms, options)
    figures = begin_figures(arms, results, options, worker)
    arms, timing_note = measure_arms(arms, trusted_modules, figures.wait)
    write_comparison(arms, results, folder, timing_note, options, figures, worker)


def read_runs(
    folders: Sequence[Path],
    has_folds: bool,
    are_differences_allowed: bool,
    fewest: int = 2,
    trusted_modules: Sequence[str] = (),
    may_miss: bool = False,
) -> "list[ComparedRun]":
    """Return the runs, named by what differs; their configurations may name ``trusted_modules``.

    ``may_miss``: folds may be missing.

    Raises:
        UserError: the runs cannot be compared or, unless allowed, differ in more than the model.
    """
    from aunet.config.draft import load_draft
    from aunet.errors import UserError
    from aunet.evaluation.comparability import (
        check_comparable,
        check_differences,
        share_what_is_known_of_cases,
        with_unique_names,
    )
    from aunet.evaluation.compared_run import read_compared_run, read_record
    from aunet.evaluation.cross_validation import gather_folds
    from aunet.evaluation.setting_differences import setting_differences

    if len(folders) < fewest:
        read_record(folders[0])
        raise UserError(f"{folders[0]}: one run alone; a comparison needs two or more run folders.")
    runs: list[ComparedRun] = []
    for folder in folders:
        record = read_record(folder)  # first: its error is the clearest if the folder is not a run
        # Nothing is built here: the network's module, which loads torch, is checked when the network is.
        draft = load_draft(folder, trusted_modules, built=())
        runs.append(read_compared_run(folder, record, draft.as_plain(is_resolved=True)))
    runs = gather_folds(runs, may_miss=may_miss) if has_folds else runs
    check_comparable(runs, may_miss=has_folds and may_miss)
    differences = setting_differences(runs)
    runs = with_unique_names(runs, differences)
    if not are_differences_allowed:
        check_differences(runs, differences)
    return share_what_is_known_of_cases(runs)


def measure_arms(
    arms: "Sequence[Arm]", trusted_modules: Sequence[str], become_quiet: Callable[[], None]
) -> "tuple[list[Arm], str]":
    """Return the arms with the cost of each network, measured on its first run, and a note on the measurement.

    Before a duration is measured, ``become_quiet`` waits until this command does nothing else.
    """
    from dataclasses import replace

    from aunet.runs.run_state import read_run_state

    measured, note = measure_forward_pass([arm.runs[0] for arm in arms if arm.runs], trusted_modules, become_quiet)
    costs, result = iter(measured), list["Arm"]()
    for arm in arms:
        cost = next(costs) if arm.runs else None
        runs = tuple(
            replace(
                run,
                forward_seconds=cost.forward_seconds,
                gflop=cost.gflop,
                training_seconds=read_run_state(run.folder).seconds or float("nan"),
            )
            for run in arm.runs
            if cost is not None
        )
        result.append(replace(arm, runs=runs))
    return result, note


def measure_forward_pass(
    runs: "Sequence[ComparedRun]", trusted_modules: Sequence[str], become_quiet: Callable[[], None]
) -> "tuple[list[ComparedRun], str]":
    """Return the runs with the GFLOP and the median time (s) of their networks' forward passes, and a note."""
    from dataclasses import replace

    import numpy as np
    import torch

    from aunet.build.network import load_network
    from aunet.evaluation.forward_time import device_name, forward_rounds, warm_up
    from aunet.terminal import shown
    from aunet.training.hardware import choose_for_prediction, set_tf32

    set_tf32(False)
    device = torch.device(choose_for_prediction("fp32", False, None).device)
    networks = [load_network(run.folder, trusted_modules).to(device) for run in runs]
    channels = [int(str(run.settings["dataset.in_channels"])) for run in runs]
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randn((1, of_run, *run.patch_size), generator=generator).to(device)
        for run, of_run in zip(runs, channels, strict=True)
    ]
    warm_up(networks, images)
    become_quiet()
    rounds = forward_rounds(networks, images, _MOST_ROUNDS, fewest=_FEWEST_ROUNDS, seconds=_TIMING_SECONDS)
    seconds = list(shown(rounds, "Timing the forward passes", _MOST_ROUNDS))
    timed = [
        replace(
            run,
            forward_seconds=float(median),
            gflop=_count_gflop(network, of_run, run.patch_size) if math.isnan(run.gflop) else run.gflop,
        )
        for run, network, of_run, median in zip(runs, networks, channels, np.median(seconds, axis=0), strict=True)
    ]
    where = f"batch 1, float32, on {device_name(device)}, the runs in turn"
    return timed, f"Forward pass: median of {len(seconds)} of one patch, {where}."


def _count_gflop(network: "nn.Module", in_channels: int, patch_size: Sequence[int]) -> float:
    from aunet.networks.inspection.cost import forward_gflop  # costs a second of imports

    gflop = forward_gflop(network, in_channels, patch_size)
    return math.nan if gflop is None else gflop
