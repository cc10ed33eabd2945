"""Runs that stand side by side: what a run folder tells of one, and whether two may be compared at all."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aunet.errors import UserError
from aunet.metrics.case_scores import read_case_scores

RECORD_KEYS = (
    "status",
    "data",
    "is_phantom",
    "model",
    "seed",
    "parameters",
    "class_names",
    "patch_size",
    "data_fingerprint",
)


@dataclass(frozen=True)
class ComparedRun:
    """What a comparison needs of one finished run, or of the ``num_folds`` runs of a cross-validation, pooled.

    ``forward_seconds`` is measured by the comparison itself.
    """

    folder: Path
    name: str
    model: str
    seed: int
    parameters: int
    patch_size: tuple[int, ...]
    data: str
    data_fingerprint: str
    is_phantom: bool
    class_names: tuple[str, ...]
    scores: pd.DataFrame
    forward_seconds: float = float("nan")
    num_folds: int = 1


def read_compared_run(folder: Path) -> ComparedRun:
    """Read run.json and test/case_scores.csv of a finished run."""
    record = _read_record(folder)
    if record["status"] != "finished":
        raise UserError(
            f"{folder}: the run is {record['status']!r}, and only a finished one has test scores to compare; "
            f"continue it with `python train.py resume={folder}`."
        )
    return ComparedRun(
        folder=folder,
        name=record["model"],
        model=record["model"],
        seed=record["seed"],
        parameters=record["parameters"],
        patch_size=tuple(record["patch_size"]),
        data=record["data"],
        data_fingerprint=record["data_fingerprint"],
        is_phantom=record["is_phantom"],
        class_names=tuple(record["class_names"]),
        scores=read_case_scores(folder / "test" / "case_scores.csv"),
    )


def check_comparable(runs: Sequence[ComparedRun]) -> None:
    """Refuse runs that were not scored on the same data, classes, test cases and reference labels."""
    first = runs[0]
    for run in runs[1:]:
        pair = f"{first.folder} and {run.folder} cannot be compared: "
        if (first.data, first.is_phantom) != (run.data, run.is_phantom):
            raise UserError(f"{pair}one was scored on {_data_name(first)}, the other on {_data_name(run)}.")
        if first.class_names != run.class_names:
            raise UserError(f"{pair}their classes are {list(first.class_names)} and {list(run.class_names)}.")
        if difference := _case_difference(first, run):
            raise UserError(f"{pair}{difference} Train both with the same `data.split`, or pool folds: --folds.")
        if first.data_fingerprint != run.data_fingerprint:
            raise UserError(f"{pair}the files of {first.data} changed between them. Train both on the same files.")
        if changed := _changed_references(first, run):
            raise UserError(f"{pair}the reference labels of {changed} differ. Train both on the same files.")


def with_unique_names(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """The runs named by their model, where that is not enough also by seed, and last by the name of their folder."""
    folders = Counter(run.folder.resolve() for run in runs)
    if twice := [str(folder) for folder, count in folders.items() if count > 1]:
        raise UserError(f"{twice[0]}: the run stands twice; give every run once.")
    choices: tuple[Callable[[ComparedRun], str], ...] = (
        lambda run: run.model,
        lambda run: f"{run.model}, seed {run.seed}",
        lambda run: f"{run.model}, {run.folder.name}",
    )
    for choice in choices:
        names = [choice(run) for run in runs]
        if len(set(names)) == len(runs):
            return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
    return [replace(run, name=f"{run.model}, {run.folder}") for run in runs]


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    if not path.is_file():
        inside = sorted(str(found.parent) for found in folder.glob("*/run.json"))
        remedy = f"give the runs in it: {' '.join(inside)}" if inside else "give the folder of a run"
        raise UserError(f"{folder}: not a run folder, it holds no run.json; {remedy}.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error}); the file is damaged, train the run again.") from error
    if missing := [key for key in RECORD_KEYS if key not in record]:
        raise UserError(f"{path}: lacks {', '.join(missing)}; was the run made by an older version? Train it again.")
    return record


def _data_name(run: ComparedRun) -> str:
    return f"{run.data} ({'phantom' if run.is_phantom else 'real scans'})"


def _case_difference(first: ComparedRun, run: ComparedRun) -> str:
    """A sentence on the test cases that only one of the runs has; empty where there are none."""
    first_cases, cases = set(first.scores["case_id"]), set(run.scores["case_id"])
    sides = ((first, sorted(first_cases - cases)), (run, sorted(cases - first_cases)))
    told = [f"only {side.folder} was tested on {shortened(names)}" for side, names in sides if names]
    return "; ".join(told) + "." if told else ""


def _changed_references(first: ComparedRun, run: ComparedRun) -> str:
    """Test cases whose reference volumes differ between the runs, so the labels must have; empty where none do."""
    keys = ["case_id", "class"]
    pairs = first.scores.merge(run.scores, on=keys, how="outer", suffixes=("_first", "_run"))
    is_changed = ~np.isclose(pairs["reference_ml_first"], pairs["reference_ml_run"], rtol=1e-6, equal_nan=True)
    return shortened(sorted(pairs.loc[is_changed, "case_id"].unique()))


def shortened(names: Sequence[str], limit: int = 5) -> str:
    """The names with commas, the rest beyond ``limit`` as a count."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
