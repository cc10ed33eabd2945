"""Change lines of a room's code at random and count the changes that its own quick tests notice, by mutmut.

    make mutants ROOM=metrics            # 80 mutants drawn with seed 0; survivors are shown as differences
    make mutants ROOM=gates ARGS="--number 200 --seed 1"

A whole run takes hours, so a random sample estimates the score: killed (or hanging) mutants among all that were drawn.
The sources are copied to outputs/mutants/ROOM, where `mutmut show NAME` and `mutmut browse` work afterwards.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name

ROOT = Path(__file__).resolve().parents[1]
# Room -> patterns of its modules, its tests.
ROOMS = {
    "metrics": (["aunet/metrics/*.py"], ["tests/metrics"]),
    "gates": (
        ["aunet/networks/gates.py", "aunet/networks/hard_gate.py", "aunet/networks/open_gate.py"],
        ["tests/networks/test_gates.py", "tests/networks/test_hard_gate.py", "tests/networks/test_open_gate.py"],
    ),
    "inference": (["aunet/inference/*.py"], ["tests/inference"]),
    "evaluation": (["aunet/evaluation/*.py"], ["tests/evaluation"]),
}
COPIED = ("aunet", "conf", "tests", "docs", "experiments", "train.py", "pyproject.toml", "README.md", "Makefile")
KILLED = ("killed", "timeout", "segfault", "caught by type check")


def main() -> None:
    """Draw the mutants of a room, test each, and print the score and the survivors."""
    parser = argparse.ArgumentParser(description="Mutation score of one room.")
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--number", type=int, default=80, help="mutants to draw (default: 80)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    options = parser.parse_args()
    patterns, tests = ROOMS[options.room]
    folder = ROOT / "outputs" / "mutants" / options.room
    copy_sources(folder, patterns, tests)
    os.chdir(folder)  # mutmut reads its settings there
    names = mutant_names(patterns)
    drawn = sorted(random.Random(options.seed).sample(names, min(options.number, len(names))))
    run(folder, "run", "--max-children", "1", *drawn)
    report(folder, options.room, drawn, len(names))


def mutant_names(patterns: list[str]) -> list[str]:
    """Return the name of every mutant that mutmut makes of the modules."""
    names: list[str] = []
    for file in sorted(file for pattern in patterns for file in Path().glob(pattern)):
        mutated = mutate_file_contents(str(file), file.read_text(encoding="utf-8"))
        names += [get_mutant_name(file, name) for name in mutated.mutant_names]
    return names


def copy_sources(folder: Path, patterns: list[str], tests: list[str]) -> None:
    """Copy the sources to ``folder``, with the settings of mutmut for one room."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "outputs"))
        else:
            shutil.copy2(source, folder / name)
    settings = {
        "source_paths": ["aunet"],
        "only_mutate": patterns,
        "also_copy": [name for name in COPIED if name != "aunet"],
        "pytest_add_cli_args_test_selection": tests,
        "pytest_add_cli_args": [
            "--timeout=0"
        ],  # mutmut limits the processor time, which a busy machine does not change
        "process_isolation": "forkserver",  # torch does not survive a fork of the process that used it
        "use_git_change_detection": False,
    }
    lines = "".join(f"{key} = {str(value).lower() if value is False else value!r}\n" for key, value in settings.items())
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[tool.mutmut]\n{lines}")


def run(folder: Path, *words: str) -> str:
    """Run mutmut in ``folder`` on one thread, showing what it prints; return that for ``results`` and ``show``."""
    command = [sys.executable, "-m", "mutmut", *words]
    is_shown = words[0] == "run"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=None if is_shown else subprocess.PIPE, check=True
    )
    return done.stdout or ""


def report(folder: Path, room: str, drawn: list[str], number: int) -> None:
    """Print the score of the ``drawn`` of a ``number`` of mutants, and each survivor as a difference."""
    lines = (line.strip().rpartition(": ") for line in run(folder, "results", "--all", "true").splitlines())
    status = {name: found for name, _, found in lines}
    counts = Counter(status[name] for name in drawn)
    killed = sum(counts[name] for name in KILLED)
    for name in drawn:
        if status[name] not in KILLED:
            sys.stdout.write(run(folder, "show", name))
    share = 100 * killed / max(1, len(drawn))
    sys.stdout.write(f"{room}: {killed} of {len(drawn)} killed ({share:.0f} %), drawn from {number}: {dict(counts)}\n")


if __name__ == "__main__":
    main()
