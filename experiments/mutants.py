"""Change lines of a room's code one at a time, and count the changes that its quick tests notice.

    make mutants ROOM=metrics            # 80 mutants drawn with seed 0; survivors are shown as differences
    make mutants ROOM=gates ARGS="--number 200 --seed 1"
    make mutants ROOM=metrics ARGS=--again    # the survivors of the last draw, with code and tests as they are now

A whole run takes hours, so a sample estimates the score: the mutants that were killed, or ran out of time or memory,
among all that were drawn. Draws are spread evenly over the files and functions of the room.

mutmut makes the mutants, and its trampolines choose one of them at run time. Its own runner starts pytest for each
mutant and misses tests of what a shared fixture has computed; here the tests are collected once, a first pass notes
which tests call which function, by a fixture or directly, and each mutant is tried on those alone in a forked process.
"""

import argparse
import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from difflib import unified_diff
from pathlib import Path

import pytest
from mutant_trials import KILLED, MutantTrials
from mutmut.mutation.file_mutation import MutatedFile, mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Room:
    """Modules, the tests that mirror them, and others for functions that none of the former calls, all as paths."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    other_tests: tuple[str, ...] = ()


ROOMS = {
    "metrics": Room(("aunet/metrics/*.py",), ("tests/metrics",)),
    "gates": Room(
        ("aunet/networks/gates.py", "aunet/networks/hard_gate.py", "aunet/networks/open_gate.py"),
        ("tests/networks/test_gates.py", "tests/networks/test_hard_gate.py", "tests/networks/test_open_gate.py"),
    ),
    "inference": Room(
        ("aunet/inference/*.py",),
        ("tests/inference",),
        (
            "tests/attention/test_archive.py",
            "tests/commands/test_predict.py",
            "tests/commands/test_predict_again.py",
            "tests/docs/test_extend_prediction.py",
        ),
    ),
    "evaluation": Room(
        ("aunet/evaluation/*.py",),
        ("tests/evaluation", "tests/inference/test_postprocessing.py"),
        ("tests/commands/test_compare.py", "tests/commands/test_evaluate.py", "tests/commands/test_probe.py"),
    ),
}
COPIED = ("aunet", "conf", "tests", "docs", "experiments", "train.py", "pyproject.toml", "README.md", "Makefile")
# Called while its class is made, when the trampolines do not know its mutants yet.
UNTOUCHED = "def _should_skip_dynamo(cls) -> bool:"
COLLECTION = ("-q", "--timeout=0", "--capture=no", "-p", "no:xdist")


@dataclass
class Sample:
    """The mutants drawn of all ``total`` of a room: what became of each, and those that survived as differences."""

    number: int
    seed: int
    total: int = 0
    status: dict[str, str] = field(default_factory=dict[str, str])
    survivors: dict[str, str] = field(default_factory=dict[str, str])


def main() -> int:
    """Draw the mutants of a room, test each, and print the survivors and the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--number", type=int, default=80, help="mutants to draw (default: 80)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument(
        "--again", action="store_true", help="test only the survivors of the last draw, with code and tests as now"
    )
    options = parser.parse_args()
    room = ROOMS[options.room]
    folder = ROOT / "outputs" / "mutants" / options.room
    record = folder.with_suffix(".json")
    sample = Sample(**json.loads(record.read_text())) if options.again else Sample(options.number, options.seed)
    copy_sources(folder)
    os.chdir(folder)
    sys.path.insert(0, str(folder))  # before the installed aunet
    differences = write_mutants(room.modules)
    if options.again:
        chosen = [name for name, shown in sample.survivors.items() if differences.get(name) == shown]
        gone = sample.survivors.keys() - set(chosen)
        sample.status = {name: status for name, status in sample.status.items() if name not in gone}
    else:
        sample.total = len(differences)
        chosen = draw(list(differences), sample.number, sample.seed)
    trials = MutantTrials(chosen, room.tests)
    code = pytest.main(
        [*COLLECTION, f"--basetemp={folder / 'temporary'}", *room.tests, *room.other_tests], plugins=[trials]
    )
    if not trials.status:
        return int(code) or 1
    sample.status |= trials.status
    sample.survivors = {name: differences[name] for name in chosen if sample.status.get(name) not in KILLED}
    record.write_text(json.dumps(asdict(sample), indent=1))
    report(options.room, sample)
    return int(code)


def copy_sources(folder: Path) -> None:
    """Copy the sources to ``folder``, with the settings that mutmut asks for."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('\n[tool.mutmut]\nsource_paths = ["aunet"]\n')


def write_mutants(patterns: Sequence[str]) -> dict[str, str]:
    """Put all mutants of the modules into them; return name -> difference, in the order of the lines."""
    differences: dict[str, str] = {}
    for path in sorted(path for pattern in patterns for path in Path().glob(pattern)):
        source = path.read_text(encoding="utf-8").replace(UNTOUCHED, f"{UNTOUCHED}  # pragma: no mutate block")
        mutated = mutate_file_contents(str(path), source)
        path.write_text(mutated.code, encoding="utf-8")
        lines = mutated.code.splitlines()
        for name in mutated.mutant_names:
            differences[get_mutant_name(path, name)] = difference(mutated, lines, name)
    return differences


def difference(mutated: MutatedFile, lines: Sequence[str], name: str) -> str:
    """Return the lines of a mutant that are not those of its function, without and with the change."""
    original = f"{name.rpartition('__mutmut_')[0]}__mutmut_orig"
    texts: list[list[str]] = []
    for function in (original, name):
        span = mutated.line_span_by_function_name[function]
        texts.append([line.replace(function, "function") for line in lines[span.start - 1 : span.end]])
    changed = unified_diff(*texts, n=0, lineterm="")
    return "\n".join(line for line in changed if not line.startswith(("---", "+++", "@@")))


def draw(names: Sequence[str], number: int, seed: int) -> list[str]:
    """Return ``number`` of the names at equal distances, from a random start."""
    step = max(1.0, len(names) / number)
    start = random.Random(seed).random() * step
    return [names[int(start + index * step)] for index in range(min(number, len(names)))]


def report(room: str, sample: Sample) -> None:
    """Print each survivor as a difference, then the score of each module and of all."""
    for name, shown in sample.survivors.items():
        sys.stdout.write(f"\n{name}: {sample.status.get(name)}\n{shown}\n")
    sys.stdout.write("\n")
    of_module: dict[str, list[str]] = {}
    for name, status in sample.status.items():
        of_module.setdefault(name.partition(".x")[0], []).append(status)
    for module, statuses in of_module.items():
        sys.stdout.write(f"{module}: {num_killed(statuses)} of {len(statuses)}\n")
    statuses = list(sample.status.values())
    score = binomtest(num_killed(statuses), len(statuses))
    low, high = score.proportion_ci(method="wilson")
    sys.stdout.write(
        f"{room}: {score.k} of {score.n} killed, {score.statistic:.0%} (95 % interval {low:.0%} to {high:.0%}):"
        f" a sample of {score.n} of {sample.total} mutants, seed {sample.seed}; {dict(Counter(statuses))}\n"
    )


def num_killed(statuses: Sequence[str]) -> int:
    """Return how many mutants the tests noticed."""
    return sum(status in KILLED for status in statuses)


if __name__ == "__main__":
    sys.exit(main())
