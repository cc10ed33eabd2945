"""`aunet compare`: runs side by side in the paper's table, with paired statistics of their differences."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aunet.evaluation.compared_run import ComparedRun
    from aunet.evaluation.setting_differences import SettingDifference

# Timed forward passes of each run: five, or as few as three if no more begin within the seconds.
_MOST_ROUNDS, _FEWEST_ROUNDS, _TIMING_SECONDS = 5, 3, 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet compare``."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders; the first is the baseline")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the tables")
    parser.add_argument(
        "--folds", action="store_true", help="pool the runs of -m data.fold=0,1,2,3,4: every case is tested once"
    )
    parser.add_argument(
        "--allow-differences",
        action="store_true",
        help="compare runs that differ in more than the model (loss, epochs, training cases, …), and mark the tables",
    )


def compare(arguments: argparse.Namespace) -> None:
    """Print the comparison and write comparison.md, comparison.csv and, for two or more, paired_differences.csv."""
    from aunet.evaluation.comparison import comparison_table, difference_tables, settings_table
    from aunet.evaluation.comparison_scores import comparison_rows, differences_to_first
    from aunet.files import replaced_atomically, write_text
    from aunet.terminal import shown, table_console

    runs, differences = read_runs(arguments.runs, arguments.folds, arguments.allow_differences)
    runs, timing_note = measure_forward_pass(runs)
    rows = comparison_rows(runs)
    tables, frames = [comparison_table(runs, rows, differences, timing_note)], {"comparison.csv": rows}
    if differences:
        tables.append(settings_table(runs, differences))
    if len(runs) > 1:
        paired = differences_to_first(runs, lambda others: shown(others, "Testing the differences"))
        frames["paired_differences.csv"] = paired
        tables += difference_tables(runs, paired, differences)

    for name, frame in frames.items():
        with replaced_atomically(arguments.output / name) as temporary:
            frame.to_csv(temporary, index=False)
    write_text(arguments.output / "comparison.md", "\n".join(table.as_markdown() for table in tables))
    console = table_console()
    for table in tables:
        console.print(table, "")
    console.print(f"Tables written to {arguments.output}", soft_wrap=True, markup=False)


def read_runs(
    folders: Sequence[Path], has_folds: bool, are_differences_allowed: bool
) -> "tuple[list[ComparedRun], list[SettingDifference]]":
    """Return the runs, named by what differs, and their differences besides the model.

    Raises:
        UserError: the runs cannot be compared or, unless allowed, differ in more than the model.
    """
    from omegaconf import OmegaConf

    from aunet.config.composition import load_run_config
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

    if len(folders) < 2:
        raise UserError(f"{folders[0]}: one run alone; a comparison needs two or more run folders.")
    runs: list[ComparedRun] = []
    for folder in folders:
        record = read_record(folder)  # first: its error is the clearest if the folder is not a run
        settings: Any = OmegaConf.to_container(load_run_config(folder), resolve=True)
        runs.append(read_compared_run(folder, record, settings))
    runs = gather_folds(runs) if has_folds else runs
    check_comparable(runs)
    differences = setting_differences(runs)
    runs = with_unique_names(runs, differences)
    if not are_differences_allowed:
        check_differences(runs, differences)
    return share_what_is_known_of_cases(runs), differences


def measure_forward_pass(runs: "Sequence[ComparedRun]") -> "tuple[list[ComparedRun], str]":
    """Return the runs with the median time (s) of their networks' forward passes, and a note on the measurement."""
    from dataclasses import replace

    import numpy as np
    import torch

    from aunet.build.data import load_run
    from aunet.evaluation.forward_time import device_name, forward_rounds
    from aunet.terminal import shown

    networks = [load_run(run.folder).network for run in runs]
    channels = [int(run.settings["dataset.in_channels"]) for run in runs]
    device = next(networks[0].parameters()).device
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randn((1, of_run, *run.patch_size), generator=generator).to(device)
        for run, of_run in zip(runs, channels, strict=True)
    ]
    rounds = forward_rounds(networks, images, _MOST_ROUNDS, fewest=_FEWEST_ROUNDS, seconds=_TIMING_SECONDS)
    seconds = list(shown(rounds, "Timing the forward passes", _MOST_ROUNDS))
    timed = [
        replace(run, forward_seconds=float(median))
        for run, median in zip(runs, np.median(seconds, axis=0), strict=True)
    ]
    where = f"batch 1, float32, on {device_name(device)}, the runs in turn"
    return timed, f"Forward pass: median of {len(seconds)} of one patch, {where}."
