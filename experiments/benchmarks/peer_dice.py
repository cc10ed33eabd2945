"""Minutes to a mean Dice: each contender trains, its weights are kept along the way and scored when it has finished.

The clock of all starts with the contender's command and stops when a file of weights is written, so it holds imports,
preparation of the data and whatever validation the contender makes for itself. The scores of the cases kept apart are
made after the training, outside the clock of all, by one function, without mirrored predictions.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
from peer_curves import (
    Score,
    append_row,
    describe_minutes,
    describe_ratio,
    median_minutes,
    minutes_to,
    read_rows,
    thin_out,
)
from peer_machine import default_environment, describe_machine
from rich.console import Console
from rich.table import Table

TARGETS = (0.80, 0.85, 0.87)
CONTENDERS = ("ours", "monai", "nnunet")
_VALIDATION_SHARE = 0.1  # of the training cases, as data.split.val
_POLL_SECONDS = 0.2
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Training:
    """One training of one contender; ``interval`` is the least number of seconds between two scores."""

    contender: str
    minutes: float
    number: int
    seed: int
    interval: float
    data: Path
    split: Path
    folder: Path

    @property
    def key(self) -> dict[str, str]:
        """The values that identify its rows."""
        return {"round": str(self.number), "contender": self.contender, "budget_minutes": f"{self.minutes:g}"}


def compare_dice(arguments: argparse.Namespace) -> None:
    """Make the trainings and the scores that are missing in ``arguments.output`` and print the table of all."""
    budgets = {name: [minutes for minutes in getattr(arguments, name) if minutes] for name in CONTENDERS}
    if budgets["nnunet"] and find_spec("nnunetv2") is None:
        raise SystemExit("nnU-Net is not installed: pip install -c constraints.txt -e '.[peers]', or --nnunet 0.")
    split = arguments.output / "split.json"
    _write_split(split, draw_split(_case_ids(arguments.data), arguments.held_out, arguments.seed))
    file = arguments.output / "dice.csv"
    for number in range(1, arguments.dice_rounds + 1):
        for name in CONTENDERS:
            for minutes in budgets[name]:
                training = Training(
                    contender=name,
                    minutes=minutes,
                    number=number,
                    seed=arguments.seed + number,
                    interval=60 * minutes / arguments.scores,
                    data=arguments.data.resolve(),
                    split=split.resolve(),
                    folder=(arguments.output / f"round{number}_{name}_{minutes:g}min").resolve(),
                )
                train(training)
                score(training, file)
    console = Console(width=160)
    console.print(dice_table(read_rows(file), budgets, arguments.dice_rounds))
    console.print(describe_machine())


def draw_split(case_ids: Sequence[str], num_held_out: int, seed: int) -> dict[str, list[str]]:
    """Return the cases of each part, drawn by ``seed``, in the form that ``data.split.file`` reads."""
    if not 0 < num_held_out < len(case_ids) - 1:
        raise SystemExit(f"--held-out {num_held_out}: the folder holds {len(case_ids)} cases; leave two to train on.")
    drawn = random.Random(seed).sample(sorted(case_ids), len(case_ids))
    num_val = max(1, round(_VALIDATION_SHARE * (len(drawn) - num_held_out)))
    test, val, train = (
        drawn[:num_held_out],
        drawn[num_held_out : num_held_out + num_val],
        drawn[num_held_out + num_val :],
    )
    return {"train": sorted(train), "val": sorted(val), "test": sorted(test)}


def _write_split(file: Path, split: Mapping[str, Sequence[str]]) -> None:
    if not file.exists():
        file.write_text(json.dumps(split))
    if json.loads(file.read_text()) != split:
        raise SystemExit(f"{file}: drawn from other cases or with another --held-out or --seed; give another --output.")


def train(training: Training) -> None:
    """Run the contender unless it has finished before; what an interrupted training left is removed first."""
    record = training.folder / "training.json"
    if record.exists():
        return
    shutil.rmtree(training.folder, ignore_errors=True)
    snapshots = training.folder / "snapshots"
    snapshots.mkdir(parents=True)
    watch = _link_best if training.contender == "ours" else _wait
    start = time.time()
    with (training.folder / "log.txt").open("w") as stream:
        process = subprocess.Popen(
            _training_command(training), cwd=_HERE.parents[1], env=_environment(), stdout=stream, stderr=stream
        )
        status = watch(process, training.folder)
    _check_status(status, training)
    record.write_text(json.dumps({**training.key, "start": start, "seconds": time.time() - start}))


def _check_status(status: int, training: Training) -> None:
    if status:
        log = training.folder / "log.txt"
        raise SystemExit(f"{log}: {training.contender} ended with exit status {status}; the log says why.")


def score(training: Training, file: Path) -> None:
    """Predict and score the kept weights whose score is missing in ``file``."""
    start = json.loads((training.folder / "training.json").read_text())["start"]
    snapshots = sorted((training.folder / "snapshots").iterdir())
    seconds = [path.stat().st_mtime - start for path in snapshots]
    scored = {row["weights"] for row in read_rows(file) if training.key.items() <= row.items()}
    chosen = [index for index in thin_out(seconds, training.interval) if snapshots[index].name not in scored]
    output = training.folder / "predictions"
    command = _prediction_command(training, output, [snapshots[index] for index in chosen])
    if chosen:
        with (training.folder / "log.txt").open("a") as stream:
            status = subprocess.run(command, env=_environment(), stdout=stream, stderr=stream, check=False).returncode
        _check_status(status, training)
    case_ids = json.loads(training.split.read_text())["test"]
    for index in chosen:
        name = snapshots[index].name
        by_class = _mean_dice(output / name, training.data / "labelsTr", case_ids)
        dice = {f"dice_{value}": f"{mean:.4f}" for value, mean in by_class.items()}
        mean = sum(by_class.values()) / len(by_class)
        append_row(
            file, {**training.key, "weights": name, "seconds": f"{seconds[index]:.1f}", "dice": f"{mean:.4f}", **dice}
        )
    shutil.rmtree(output, ignore_errors=True)


def dice_table(rows: Sequence[Mapping[str, str]], budgets: Mapping[str, Sequence[float]], rounds: int) -> Table:
    """Return the medians over rounds of the minutes to each target, with their ratios to ours."""
    columns = [column for dice in TARGETS for column in (f"Minutes to {dice:.2f}", "Ratio to ours")]
    table = Table("Contender", "Minutes given", *columns, "Best Dice", "Last Dice")
    minutes = {
        name: [
            median_minutes([minutes_to(dice, _curve(rows, name, number)) for number in range(1, rounds + 1)])
            for dice in TARGETS
        ]
        for name in CONTENDERS
        if budgets[name]
    }
    for name, reached in minutes.items():
        longest = max(budgets[name])
        cells: list[str] = []
        for value, ours in zip(reached, minutes.get("ours", reached), strict=True):
            cells += [describe_minutes(value, longest), describe_ratio(value, ours, longest)]
        dice = [score.dice for number in range(1, rounds + 1) for score in _curve(rows, name, number)]
        given = ", ".join(f"{one:g}" for one in budgets[name])
        table.add_row(name, given, *cells, f"{max(dice):.3f}", f"{dice[-1]:.3f}")
    return table


def _curve(rows: Sequence[Mapping[str, str]], contender: str, number: int) -> list[Score]:
    chosen = [row for row in rows if row["contender"] == contender and row["round"] == str(number)]
    return [Score(float(row["seconds"]), float(row["dice"])) for row in chosen]


def _case_ids(data: Path) -> list[str]:
    """Return the labelled cases of a task of the Medical Segmentation Decathlon."""
    names = [file.name.removesuffix(".nii.gz") for file in (data / "labelsTr").glob("[!.]*.nii.gz")]
    if not names:
        raise SystemExit(f"--data {data}: has no labelsTr/*.nii.gz; give the unpacked Task04_Hippocampus.")
    return names


def _training_command(training: Training) -> list[str]:
    if training.contender != "ours":
        script = str(_HERE / f"peer_{training.contender}.py")
        places = ["--data", str(training.data), "--split", str(training.split), "--folder", str(training.folder)]
        times = ["--minutes", str(training.minutes), "--interval", str(training.interval)]
        return [sys.executable, script, "train", *places, *times, "--seed", str(training.seed)]
    seconds = round(60 * training.minutes)
    return [
        *(sys.executable, "train.py", "model=attention", "data=msd", f"data.root={training.data}"),
        f"data.split.file={training.split}",
        f"data.cache={training.folder / 'cache'}",  # its preparation counts
        f"trainer.max_time=00:{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}",
        f"hydra.run.dir={training.folder / 'run'}",
        f"seed={training.seed}",
    ]


def _prediction_command(training: Training, output: Path, snapshots: Sequence[Path]) -> list[str]:
    script = str(_HERE / f"peer_{training.contender}.py")
    places = ["--data", str(training.data), "--split", str(training.split), "--folder", str(training.folder)]
    return [sys.executable, script, "predict", *map(str, snapshots), *places, "--output", str(output)]


def _environment() -> dict[str, str]:
    """Return the environment of a contender; no tracker may upload."""
    return {**default_environment(), "WANDB_MODE": "offline"}


def _wait(process: "subprocess.Popen[bytes]", folder: Path) -> int:
    return process.wait()


def _link_best(process: "subprocess.Popen[bytes]", folder: Path) -> int:
    """Wait for the training and link every best checkpoint: the run replaces that file and never rewrites it."""
    best, last = folder / "run" / "checkpoints" / "best.ckpt", 0
    while True:
        status = process.poll()
        changed = best.stat().st_mtime_ns if best.exists() else 0
        if changed != last:
            last = changed
            os.link(best, folder / "snapshots" / f"{changed}.ckpt")
        if status is not None:
            return status
        time.sleep(_POLL_SECONDS)


def _mean_dice(predictions: Path, references: Path, case_ids: Sequence[str]) -> dict[int, float]:
    """Return the mean Dice over the cases of each class but the background."""
    by_class: dict[int, list[float]] = {}
    for case_id in case_ids:
        reference = _read(references / f"{case_id}.nii.gz")
        prediction = _read(predictions / f"{case_id}.nii.gz")
        for value in np.unique(reference[reference > 0]):
            true, found = reference == value, prediction == value
            dice = 2 * np.sum(true & found) / (np.sum(true) + np.sum(found))
            by_class.setdefault(int(value), []).append(float(dice))
    return {value: sum(dice) / len(dice) for value, dice in sorted(by_class.items())}


def _read(file: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(file).dataobj).astype(np.int64)
