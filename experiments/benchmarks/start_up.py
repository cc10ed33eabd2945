"""Start-up: wall and processor time of each command on two small phantom runs, and how much of it is imports.

python experiments/benchmarks/start_up.py [--checkouts FOLDER ...] [--repeats 3] [--settings KEY=VALUE ...]

The runs are a sweep of two with trainer=smoke, made once in a temporary folder by the first checkout. Then the commands
of all checkouts take turns. Compare processor time (user and system, of the command and all it starts) on a machine
with other work. Imports are those of one more run of the command under -X importtime.

One thread of an Intel Xeon with AVX512 beside other work, one pair, seconds of processor time before commands imported
what they use alone, and after: runs 0.50, 0.36; evaluate 1.6, 1.35; compare 11.0, 5.3 (2.4 of them imports, 1.9 forward
passes); predict 8.4, 3.4; to the first step 6.4, 5.3.

Two idle cores of an Intel Xeon with AVX512 and AMX, medians of 3 pairs (compare: of 5), seconds of wall time before
compare drew its figures in a second process while the first loads torch, and after: compare 9.3, 5.7 (ratio of a pair
0.59 to 0.64; 10.7 and 10.0 of processor time); unchanged within the spread of the machine: runs 0.5, predict 3.2,
to the first step 9.9; evaluate 2.1, 1.9. The imports of the second process are not among those of the table.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ("-m", "aunet.commands.main")
# A training that ends without a word after its first step.
FIRST_STEP = (
    "-c",
    "import os, sys; from aunet.commands.main import main; from aunet.process_settings import prepare_process;"
    "prepare_process(); from aunet.training.callbacks.progress import ProgressDisplay;"
    "ProgressDisplay.on_train_batch_end = lambda *words: (sys.stderr.flush(), os._exit(0)); main(sys.argv[1:])",
)
Measured = tuple[float, float, str]  # wall seconds, processor seconds, stderr


def main() -> None:
    """Make the runs, then print a table with a row for each command and checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkouts", type=Path, nargs="+", default=[ROOT], metavar="FOLDER")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--settings", nargs="+", default=[], metavar="KEY=VALUE", help="of the two runs")
    arguments = parser.parse_args()
    checkouts = [folder.resolve() for folder in arguments.checkouts]
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = [
            *("trainer=smoke", "data.source.num_phantoms=10", f"data.cache={folder}/cache"),
            *arguments.settings,
        ]
        for number, checkout in enumerate(checkouts):
            sweep = folder / f"sweep_{number}"
            words = ["train", "-m", "model=unet,attention", *settings, f"hydra.sweep.dir={sweep}"]
            wall, processor, _ = measure([*COMMAND, *words], checkout)
            filled = "" if number else ", the phantoms and the store included"
            console.print(f"{checkout}: sweep of two runs: {wall:.1f} s, {processor:.1f} s of processor time{filled}")
            for run in sorted(sweep.glob("*/run.json")):
                console.print(f"  {describe_run(run)}", markup=False)
        table = Table("Command", "Checkout", "Wall (s)", "Processor (s)", "Imports (s)", "Share of wall")
        for command, words in commands(folder, settings).items():
            for row in measure_in_turn(words, checkouts, arguments.repeats):
                table.add_row(command, *row)
        console.print(table)


def commands(folder: Path, settings: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the arguments of Python for each command, by its name."""
    runs = [str(folder / "sweep_0" / f"model={model}") for model in ("unet", "attention")]
    labels = [f"{run}/test/predictions" for run in runs]
    scan = next(str(path) for path in sorted((folder / "cache" / "phantom").rglob("*.nii.gz")) if is_image(path))
    output = ["--output", str(folder / "output")]
    classes = ["--classes", "pancreas=1", "spleen=2", "kidney=3"]
    return {
        "runs": [*COMMAND, "runs", str(folder)],
        "evaluate": [*COMMAND, "evaluate", *labels, *output, *classes],
        "compare": [*COMMAND, "compare", *runs, *output],
        "predict, one scan": [*COMMAND, "predict", runs[1], scan, *output, "--overwrite"],
        "train, to the first step": [*FIRST_STEP, "train", *settings, f"hydra.run.dir={folder}/{{}}", "logger=csv"],
    }


def is_image(path: Path) -> bool:
    """Return whether a file of the phantoms is a scan and not a label map."""
    return "label" not in str(path.relative_to(path.parents[1]))


def measure_in_turn(words: Sequence[str], checkouts: Sequence[Path], repeats: int) -> list[list[str]]:
    """Return a row of the table for each checkout."""
    taken: list[list[Measured]] = [[] for _ in checkouts]
    for _ in range(repeats):
        for of_checkout, checkout in zip(taken, checkouts, strict=True):
            of_checkout.append(measure(words, checkout))
    rows: list[list[str]] = []
    for of_checkout, checkout in zip(taken, checkouts, strict=True):
        wall, processor = (statistics.median(values) for values in list(zip(*of_checkout, strict=True))[:2])
        traced_wall, _, stderr = measure(["-X", "importtime", *words], checkout)
        imports = import_seconds(stderr)
        share = f"{imports / traced_wall:.0%}"
        rows.append([str(checkout), f"{wall:.1f}", f"{processor:.1f}", f"{imports:.1f}", share])
    return rows


def measure(words: Sequence[str], checkout: Path) -> Measured:
    """Run Python with ``words`` on the code of ``checkout``; ``{}`` in a word becomes a number of its own."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, *(word.replace("{}", f"run_{time.time_ns()}") for word in words)]
    environment = os.environ | {"PYTHONPATH": str(checkout), "WANDB_MODE": "offline"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stderr


def import_seconds(stderr: str) -> float:
    """Return the sum of the modules' own times, which -X importtime prints in microseconds."""
    return sum(int(number) for number in re.findall(r"^import time:\s+(\d+) \|", stderr, re.MULTILINE)) / 1e6


def describe_run(path: Path) -> str:
    """Return the parts of a run's time, from its run.json."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    begun, ended = (datetime.fromisoformat(facts[key]) for key in ("started", "ended"))
    parts = ", ".join(f"{name} {seconds} s" for name, seconds in facts["durations"].items())
    return f"{path.parent.name}: {(ended - begun).total_seconds():.0f} s from its record to its end: {parts}"


if __name__ == "__main__":
    main()
