"""The runs of a comparison, read from their folders; facts that older versions did not write are "not recorded"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Literal, cast

import pandas as pd

from aunet.data.cohort.case import Case
from aunet.data.cohort.groups import groups_by_name
from aunet.errors import UserError
from aunet.files import JsonObject
from aunet.metrics.case_scores import DISTANCES, USUAL_METRICS, has_patients, read_case_scores, recorded_metrics
from aunet.runs.run_folder import RunFolder, runs_inside

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

_Kind = type | UnionType
_NUMBER, _COUNT = int | float, int | None
# Types of the keys whose contents a comparison reads; those not in RECORD_KEYS may be missing.
_RECORD_TYPES: dict[str, tuple[str, _Kind]] = {
    **dict.fromkeys(("status", "data", "model", "data_fingerprint"), ("text", str)),
    **dict.fromkeys(("hardware", "versions", "computing"), ("dict", dict)),
    **dict.fromkeys(("class_names", "patch_size", "caveats"), ("list", list)),
    **dict.fromkeys(("epochs", "steps", "extended_from_epochs"), ("whole number", _COUNT)),
    **{"seed": ("whole number", int), "parameters": ("number", _NUMBER), "is_phantom": ("truth value", bool)},
    "gflop": ("number", _NUMBER | None),
}
# Types of the entries of lists.
_ENTRY_TYPES: dict[str, tuple[str, _Kind]] = {
    **dict.fromkeys(("class_names", "caveats"), ("texts", str)),
    "patch_size": ("numbers", _NUMBER),
}

# The independent unit of the statistics: the patient, else the group of `data.split.group`, else the case.
Unit = Literal["patient", "group", "case"]


@dataclass(frozen=True)
class Training:
    """The cases that a network was trained and chosen on, and how long and on which machine it trained.

    None is "not recorded". ``environment`` holds the versions and the hardware by name, ``precision`` the numeric
    precision. ``patients`` maps a case to its patient, unless that is the case itself. ``fold`` is that of a
    cross-validation whose folds are pooled.
    """

    train: frozenset[str] | None = None
    val: frozenset[str] | None = None
    test: frozenset[str] | None = None
    patients: Mapping[str, str] | None = None
    epochs: int | None = None
    steps: int | None = None
    precision: str | None = None
    extended_from: int | None = None
    fold: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class ComparedRun:
    """A finished run, or the runs of a cross-validation, pooled: one of ``trainings`` per fold.

    ``unit`` is the kind of name in the column ``patient`` of ``scores``, which is empty for cases. ``metrics`` are
    the keys of the recorded metrics of ``scores``. ``settings`` is the configuration, dotted key -> value. ``caveats``
    are sentences that every table of the run shows. ``gflop`` are those of the forward pass of one patch, a
    multiply-add counted as 2; the comparison measures them if a run of an earlier version did not, and always
    ``forward_seconds``.
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
    unit: Unit = "case"
    metrics: tuple[str, ...] = USUAL_METRICS
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    trainings: tuple[Training, ...] = (Training(),)
    caveats: tuple[str, ...] = ()
    forward_seconds: float = float("nan")
    gflop: float = float("nan")
    training_seconds: float = float("nan")

    @property
    def regions(self) -> object:
        """Return of each region the classes that make it up; None if classes exclude each other."""
        return self.settings.get("dataset.regions")

    @property
    def num_folds(self) -> int:
        """Return the number of pooled trainings."""
        return len(self.trainings)


def read_compared_run(folder: Path, record: JsonObject, settings: Mapping[str, object]) -> ComparedRun:
    """Read splits.json, metrics.csv and test/case_scores.csv of a finished run.

    Args:
        folder: of the run.
        record: as ``read_record`` returns it.
        settings: nested containers of its config.yaml, with the keys that were added since.
    """
    flat, training = flatten(settings), _read_training(folder, record)
    scores = read_case_scores(RunFolder(folder).test.case_scores)
    _check_rows(scores, record["class_names"][1:], folder)
    metrics = _recorded_metrics(scores, flat)
    group = flat.get("data.split.group")
    scores, unit = _with_patients(scores, training, None if group is None else str(group))
    return ComparedRun(
        folder=folder,
        name=record["model"],
        model=record["model"],
        seed=record["seed"],
        parameters=record["parameters"],
        gflop=float("nan") if record.get("gflop") is None else record["gflop"],
        patch_size=tuple(record["patch_size"]),
        data=record["data"],
        data_fingerprint=record["data_fingerprint"],
        is_phantom=record["is_phantom"],
        class_names=tuple(record["class_names"]),
        scores=scores,
        unit=unit,
        metrics=metrics,
        settings=flat,
        trainings=(training,),
        caveats=tuple(record.get("caveats", ())),
    )


def read_record(folder: Path) -> JsonObject:
    """Return run.json of a finished run; raise UserError, with a remedy, if it is missing, invalid or unfinished."""
    run = RunFolder(folder)
    path = run.record
    if not path.is_file():
        inside = " ".join(map(str, runs_inside(folder)))
        remedy = f"give the runs in it: {inside}" if inside else "give the folder of a run"
        raise UserError(f"{folder}: not a run folder, it holds no {path.name}; {remedy}.")
    record = run.read_record()
    if missing := [key for key in RECORD_KEYS if key not in record]:
        raise UserError(f"{path}: lacks {', '.join(missing)}; was the run made by an older version? Train it again.")
    for key, (name, kind) in _RECORD_TYPES.items():
        if key in record and not isinstance(record[key], kind):
            raise UserError(f"{path}: {key} must be a {name}, not {record[key]!r}. Restore the run's own file.")
    for key, (name, kind) in _ENTRY_TYPES.items():
        if not all(isinstance(entry, kind) for entry in record.get(key, ())):
            raise UserError(f"{path}: {key} must list {name}, not {record[key]!r}. Restore the run's own file.")
    if record["status"] != "finished":
        raise UserError(
            f"{folder}: the run is {record['status']!r}, and only a finished one has test scores to compare; "
            f"continue it with `aunet train resume={folder}`."
        )
    return record


def flatten(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested settings by their dotted keys.

    Examples:
        >>> flatten({"optimizer": {"name": "adamw"}, "seed": 0})
        {'optimizer.name': 'adamw', 'seed': 0}
    """
    flat: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(cast(Mapping[str, object], value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _read_training(folder: Path, record: JsonObject) -> Training:
    run = RunFolder(folder)
    parts = _read_splits(run)
    train, val, test = (frozenset(parts[part]) if part in parts else None for part in ("train", "val", "test"))
    hardware, versions = record.get("hardware", {}), record.get("versions", {})
    gpus = hardware.get("gpus")
    environment = {
        "commit": record.get("commit"),
        **{name: versions.get(name) for name in ("torch", "monai")},
        "processor": hardware.get("processor"),
        "GPUs": ", ".join(map(str, gpus)) if isinstance(gpus, list) and gpus else None,
    }
    return Training(
        train,
        val,
        test,
        patients=parts.get("patients"),
        epochs=record.get("epochs", len(run.read_epochs()) or None),
        steps=record.get("steps"),
        precision=record.get("computing", {}).get("precision"),
        extended_from=record.get("extended_from_epochs"),
        environment={name: str(value) for name, value in environment.items() if value},
    )


def _read_splits(run: RunFolder) -> JsonObject:
    path, splits = run.splits, run.read_splits()
    if splits and not all(_are_names(splits.get(part)) for part in ("train", "val", "test")):
        raise UserError(
            f"{path}: 'train', 'val' and 'test' must each be a list of case ids. Restore the run's own file."
        )
    if not isinstance(splits.get("patients", {}), dict):
        raise UserError(f"{path}: 'patients' must map case ids to patients. Restore the run's own file.")
    return splits


def _are_names(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in cast(list[object], values))


def _check_rows(scores: pd.DataFrame, classes: Sequence[str], folder: Path) -> None:
    """Raise UserError unless ``scores`` hold a row for every case and class of the run."""
    path = RunFolder(folder).test.case_scores
    if scores.empty:
        raise UserError(f"{path}: holds no row; it must have one per test case and class. Restore the run's own file.")
    expected = {(case_id, name) for case_id in scores["case_id"] for name in classes}
    found = set(zip(scores["case_id"], scores["class"], strict=True))
    if wrong := sorted(expected ^ found):
        case_id, name = wrong[0]
        state = "lacks" if wrong[0] in expected else "should not have"
        raise UserError(
            f"{path}: {state} a row of case {case_id}, class {name}; it must have one per test case and class"
            f" ({', '.join(classes)}). Restore the run's own file."
        )


def _recorded_metrics(scores: pd.DataFrame, settings: Mapping[str, object]) -> tuple[str, ...]:
    """Return the keys of the metrics that ``scores`` hold.

    Versions before ``diagonal_mm`` counted every voxel of a picture as border, so their distances in 2D are left out.
    """
    is_first_version = not bool(scores["diagonal_mm"].notna().all()) and settings.get("dataset.spatial_dims") == 2
    return tuple(key for key in recorded_metrics(scores) if not (is_first_version and key in DISTANCES))


def _with_patients(scores: pd.DataFrame, training: Training, group: str | None) -> tuple[pd.DataFrame, Unit]:
    """Return ``scores`` with each case's patient, or its group if patients are unknown or the cases themselves."""
    cases, recorded = scores["case_id"].tolist(), training.patients
    # A table from `aunet evaluate`, which may replace a damaged one, names no patients: each case counts as one.
    if recorded is not None and _are_patients_unknown(scores):
        scores = scores.assign(patient=[recorded.get(case_id, case_id) for case_id in cases])
    if group is not None and _are_patients_unknown(scores):
        groups = groups_by_name([Case(case_id, (), None) for case_id in dict.fromkeys(cases)], group)
        return scores.assign(patient=[groups[case_id] for case_id in cases]), "group"
    return scores, "patient" if has_patients(scores) else "case"


def _are_patients_unknown(scores: pd.DataFrame) -> bool:
    return not has_patients(scores) or scores["patient"].tolist() == scores["case_id"].tolist()
