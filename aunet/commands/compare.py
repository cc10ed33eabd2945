"""`aunet compare`: runs side by side in the paper's table, with paired statistics of their differences."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aunet.reporting.compared_run import ComparedRun

ROUNDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``aunet compare``."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders; the first is the baseline")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder for the tables")
    parser.add_argument(
        "--folds", action="store_true", help="pool the runs of -m data.fold=0,1,2,3,4: every case is tested once"
    )


def compare(arguments: argparse.Namespace) -> None:
    """Print the comparison and write comparison.md, comparison.csv and, of two or more, paired_differences.csv."""
    from aunet.atomic_files import replaced_atomically, write_text
    from aunet.errors import UserError
    from aunet.reporting.compared_run import check_comparable, read_compared_run, with_unique_names
    from aunet.reporting.comparison import comparison_rows, comparison_table, difference_tables, differences_to_first
    from aunet.reporting.cross_validation import gather_folds
    from aunet.reporting.tables import table_console

    if len(arguments.runs) < 2:
        raise UserError(f"{arguments.runs[0]}: one run alone; a comparison needs two or more run folders.")
    runs = [read_compared_run(folder) for folder in arguments.runs]
    runs = with_unique_names(gather_folds(runs) if arguments.folds else runs)
    check_comparable(runs)
    runs, timing_note = measure_forward_pass(runs)
    rows = comparison_rows(runs)
    tables, frames = [comparison_table(runs, rows, timing_note)], {"comparison.csv": rows}
    if len(runs) > 1:
        frames["paired_differences.csv"] = differences_to_first(runs)
        tables += difference_tables(frames["paired_differences.csv"])

    for name, frame in frames.items():
        with replaced_atomically(arguments.output / name) as temporary:
            frame.to_csv(temporary, index=False)
    write_text(arguments.output / "comparison.md", "\n".join(table.as_markdown() for table in tables))
    console = table_console()
    for table in tables:
        console.print(table, "")
    console.print(f"Tables written to {arguments.output}", soft_wrap=True, markup=False)


def measure_forward_pass(runs: "Sequence[ComparedRun]") -> "tuple[list[ComparedRun], str]":
    """The runs with the median seconds of their networks' forward passes, and a note on how they were measured."""
    from dataclasses import replace

    import numpy as np
    import torch
    from rich.progress import track

    from aunet.build import load_run
    from aunet.config import load_run_config
    from aunet.inference.forward_seconds import device_name, forward_rounds

    networks = [load_run(run.folder).network for run in runs]
    channels = [int(load_run_config(run.folder).dataset.in_channels) for run in runs]
    device = next(networks[0].parameters()).device
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randn((1, of_run, *run.patch_size), generator=generator).to(device)
        for run, of_run in zip(runs, channels, strict=True)
    ]
    seconds = list(track(forward_rounds(networks, images, ROUNDS), "Timing the forward passes", total=ROUNDS))
    timed = [
        replace(run, forward_seconds=float(median))
        for run, median in zip(runs, np.median(seconds, axis=0), strict=True)
    ]
    note = (
        f"Forward pass: median of {ROUNDS} of one patch, batch 1, float32, on {device_name(device)}, the runs in turn."
    )
    return timed, note
