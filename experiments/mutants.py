"""Change lines of a room's code at random and count the changes that its own quick tests notice, by mutmut.

    make mutants ROOM=metrics            # 80 mutants drawn with seed 0; survivors are shown as differences
    make mutants ROOM=gates ARGS="--number 200 --seed 1"
    make mutants ROOM=metrics ARGS=--again    # the survivors of that draw, with the tests as they are now

A whole run takes hours, so a sample estimates the score: killed mutants, or those that ran out of time or memory, among
all that were drawn. Draws are spread evenly over the files and functions. mutmut first notes which test calls which
function, and then tries a mutant on the tests of its function alone.
The sources are copied to outputs/mutants/ROOM, where `mutmut show NAME` and `mutmut browse` work afterwards.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]
# Room -> patterns of its modules, its tests: those that mirror it, and those of the commands that are built of it.
ROOMS = {
    "metrics": (["aunet/metrics/*.py"], ["tests/metrics"]),
    "gates": (
        ["aunet/networks/gates.py", "aunet/networks/hard_gate.py", "aunet/networks/open_gate.py"],
        ["tests/networks/test_gates.py", "tests/networks/test_hard_gate.py", "tests/networks/test_open_gate.py"],
    ),
    "inference": (["aunet/inference/*.py"], ["tests/inference"]),
    "evaluation": (
        ["aunet/evaluation/*.py"],
        [
            "tests/evaluation",
            "tests/pipeline/test_choose_postprocessing.py",
            "tests/commands/test_compare.py",
            "tests/commands/test_evaluate.py",
            "tests/commands/test_probe.py",
        ],
    ),
}
COPIED = ("aunet", "conf", "tests", "docs", "experiments", "train.py", "pyproject.toml", "README.md", "Makefile")
KILLED = ("killed", "timeout", "segfault", "caught by type check")
MEMORY = 6 * 2**30  # bytes of addresses: a mutant that asks for more fails alone


def main() -> None:
    """Draw the mutants of a room, test each, and print the score and the survivors."""
    parser = argparse.ArgumentParser(description="Mutation score of one room, estimated from a sample.")
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--number", type=int, default=80, help="mutants to draw (default: 80)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument(
        "--again", action="store_true", help="test only the survivors of that draw, in its code, with the tests of now"
    )
    options = parser.parse_args()
    patterns, tests = ROOMS[options.room]
    folder = ROOT / "outputs" / "mutants" / options.room
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if options.again:
        shutil.copytree(ROOT / "tests", folder / "tests", dirs_exist_ok=True)
    else:
        copy_sources(folder, patterns, tests)
    os.chdir(folder)  # mutmut reads its settings there
    names = mutant_names(patterns)
    drawn = draw(names, options.number, options.seed)
    tried = [name for name in drawn if statuses(folder)[name] not in KILLED] if options.again else drawn
    run(folder, "run", "--max-children", "1", *tried)
    report(folder, drawn)
    sys.stdout.write(f"{options.room}: a sample of {len(drawn)} of {len(names)} mutants, seed {options.seed}\n")


def mutant_names(patterns: list[str]) -> list[str]:
    """Return the name of every mutant that mutmut makes of the modules, in the order of their lines."""
    names: list[str] = []
    for file in sorted(file for pattern in patterns for file in Path().glob(pattern)):
        mutated = mutate_file_contents(str(file), file.read_text(encoding="utf-8"))
        names += [get_mutant_name(file, name) for name in mutated.mutant_names]
    return names


def draw(names: list[str], number: int, seed: int) -> list[str]:
    """Return ``number`` of the names at equal distances, from a random start."""
    step = max(1.0, len(names) / number)
    start = random.Random(seed).random() * step
    return [names[int(start + index * step)] for index in range(min(number, len(names)))]


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
        "pytest_add_cli_args": ["--timeout=0"],  # mutmut limits the time of each mutant
        "timeout_constant": 3.0,  # seconds beyond the tests' own, for a machine that is busy with other things
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


def statuses(folder: Path) -> dict[str, str]:
    """Return what became of each mutant."""
    lines = (line.strip().rpartition(": ") for line in run(folder, "results", "--all", "true").splitlines())
    return {name: found for name, _, found in lines}


def report(folder: Path, drawn: list[str]) -> None:
    """Print each survivor among the ``drawn`` as a difference, then the score of each module and of all."""
    status = statuses(folder)
    for name in drawn:
        if status[name] not in KILLED:
            sys.stdout.write(run(folder, "show", name))
    modules = [name.partition(".x")[0] for name in drawn]
    for module in sorted(set(modules)):
        counts = Counter(status[name] for name, of in zip(drawn, modules, strict=True) if of == module)
        sys.stdout.write(f"{module}: {sum(counts[name] for name in KILLED)} of {counts.total()} {dict(counts)}\n")
    counts = Counter(status[name] for name in drawn)
    killed = sum(counts[name] for name in KILLED)
    score = binomtest(killed, len(drawn))
    low, high = score.proportion_ci(method="wilson")
    sys.stdout.write(
        f"killed {killed} of {len(drawn)}: {score.statistic:.0%} (95 % interval {low:.0%} to {high:.0%}) {dict(counts)}\n"
    )


if __name__ == "__main__":
    main()
