"""Runs to compare, without a training: as objects, and as the folders that trainings leave."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import yaml
from omegaconf import OmegaConf

from aunet.evaluation.compared_run import ComparedRun, Training, flatten
from aunet.metrics.case_scores import NUMBERS, columns_of, write_case_scores

CLASSES = ("pancreas", "spleen")
SETTINGS: dict[str, Any] = {
    "data": {"name": "ct150", "fold": None, "augmentation": {"elastic": 0.0}, "split": {"group": None}},
    "model": {"name": "unet", "network": {"_target_": "aunet.networks.UNet", "norm": "batch"}},
    "loss": {"name": "dice_ce", "function": {"_target_": "monai.losses.DiceCELoss", "softmax": True}},
    "optimizer": {"name": "adamw", "factory": {"lr": 0.001}, "schedule": {"power": 0.9}},
    "trainer": {"name": "default", "max_epochs": 12, "max_time": None, "patience": None, "precision": "auto"},
    "dataset": {"spatial_dims": 3, "in_channels": 2, "spacing": [2.0, 2.0, 2.0]},
    "inference": {"overlap": 0.5, "window_batch": 4},
    "seed": 0,
    "init": None,
}
RECORD: dict[str, Any] = {
    "status": "finished",
    "data": "ct150",
    "is_phantom": True,
    "model": "unet",
    "seed": 0,
    "parameters": 5_888_004,
    "class_names": ["background", *CLASSES],
    "patch_size": [8, 8, 8],
    "data_fingerprint": "f00d",
    "gflop": 12.5,
    "epochs": 12,
    "steps": 288,
    "computing": {"precision": "float32"},
}


def with_settings(changes: dict[str, Any]) -> dict[str, Any]:
    """Nested settings in which the values of the dotted keys ``changes`` replace those of ``SETTINGS``."""
    settings = json.loads(json.dumps(SETTINGS))
    for key, value in changes.items():
        *groups, name = key.split(".")
        parent = settings
        for group in groups:
            parent = parent.setdefault(group, {})
        parent[name] = value
    return settings


def case_scores(
    dices: Sequence[float], patients: Sequence[str] | None = None, of_spleen: float = 0.9, **changes: Any
) -> pd.DataFrame:
    """Scores of ``case_0`` and so on: pancreas ``dices``, spleen ``of_spleen``, all other values 1 or ``changes``."""
    rows = [
        {"case_id": f"case_{number}", "patient": patient, "class": name, **dict.fromkeys(NUMBERS, 1.0), "dice": value}
        for number, (dice, patient) in enumerate(
            zip(dices, patients or [f"case_{number}" for number in range(len(dices))], strict=True)
        )
        for name, value in zip(CLASSES, (dice, of_spleen), strict=True)
    ]
    return pd.DataFrame(rows, columns=columns_of()).assign(**changes)


def compared_run(
    folder: str = "first",
    settings: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    **changes: Any,
) -> ComparedRun:
    """Return a U-Net of 12 epochs; ``settings`` by dotted key, ``training`` by the fields of ``Training``."""
    course = Training(train=frozenset("abcdefgh"), val=frozenset("ij"), epochs=12, steps=288, precision="float32")
    run = ComparedRun(
        folder=Path(folder),
        name="unet",
        model="unet",
        seed=0,
        parameters=5_888_004,
        patch_size=(160, 160, 96),
        data="ct150",
        data_fingerprint="f00d",
        is_phantom=True,
        class_names=("background", *CLASSES),
        scores=case_scores([0.5, 0.7]),
        unit="patient",
        settings=flatten(with_settings(settings or {})),
        trainings=(replace(course, **(training or {})),),
    )
    return replace(run, **changes)


def write_run(
    folder: Path,
    scores: pd.DataFrame,
    settings: dict[str, Any] | None = None,
    splits: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Return the folder of a finished run; ``changes`` are those of run.json."""
    parts = {"train": ["x", "y"], "val": ["z"], "test": sorted(set(scores["case_id"])), "patients": {}}
    write_case_scores(folder / "test" / "case_scores.csv", scores)
    (folder / "run.json").write_text(json.dumps({**RECORD, **changes}), encoding="utf-8")
    (folder / "splits.json").write_text(json.dumps(splits or parts), encoding="utf-8")
    (folder / "config.yaml").write_text(yaml.safe_dump(with_settings(settings or {})), encoding="utf-8")
    return folder


def read_draft(folder: Path, trusted_modules: Sequence[str], built: Sequence[str]) -> SimpleNamespace:
    """Return a stand-in for ``load_draft``'s result, of a file that holds a few keys only and is not checked."""
    config = OmegaConf.load(folder / "config.yaml")
    return SimpleNamespace(as_plain=lambda is_resolved: OmegaConf.to_container(config, resolve=is_resolved))
