"""`aunet runs`: list the runs below a folder, with their status and scores."""

import argparse
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aunet.commands.shared_options import path_argument
from aunet.errors import UserError
from aunet.runs.run_folder import is_run_folder

if TYPE_CHECKING:
    from aunet.runs.run_state import RunState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``aunet runs``."""
    parser.add_argument(
        "folder",
        nargs="?",
        type=path_argument,
        default=Path("outputs"),
        metavar="FOLDER",
        help="where to look; outputs by default",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead, an object per run")


def runs(arguments: argparse.Namespace) -> None:
    """Print a table of the runs, the newest last."""
    from aunet.reporting.run_tables import run_table
    from aunet.terminal import table_console

    folder: Path = arguments.folder
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Give the one that your runs were written to.")
    found = sorted(
        map(_state, run_folders(folder)), key=lambda state: (state.started is None, state.started, state.folder)
    )
    if arguments.json:
        sys.stdout.write(json.dumps([_facts(state) for state in found], indent=2) + "\n")
        return
    console = table_console()
    if not found:
        console.print(f"No run in {folder} yet.", markup=False)
        return
    console.print(run_table(f"Runs in {folder}", [(str(state.folder.relative_to(folder)), state) for state in found]))


def _facts(state: "RunState") -> dict[str, object]:
    """Return the state of a run for scripts; null for what is not recorded."""
    return {
        "folder": str(state.folder),
        "status": state.status,
        "data": state.data,
        "is_phantom": state.is_phantom,
        "model": state.model,
        "commit": state.commit,
        "started": state.started.isoformat() if state.started else None,
        "epochs": state.num_epochs,
        "max_epochs": state.max_epochs,
        "best_validation_dice": state.best_dice,
        "test_dice": state.test_dice,
        "seconds": state.seconds,
        "caveats": list(state.caveats),
    }


def run_folders(folder: Path) -> Iterator[Path]:
    """Yield the run folders at and below ``folder``, without searching inside a run's folder."""
    for path, names, _ in os.walk(folder):
        if is_run_folder(Path(path)):
            names.clear()
            yield Path(path)


def _state(folder: Path) -> "RunState":
    """Return a run's state; a death on another machine, whose locks may be invisible here, is marked as a guess."""
    from dataclasses import replace

    from aunet.runs.run_state import read_run_state, where_it_runs

    state, host = read_run_state(folder), where_it_runs(folder)
    if state.status == "died" and host not in (None, socket.gethostname()):
        return replace(state, status=f"died? on {host}")
    return state
