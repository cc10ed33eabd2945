"""The callback and the trackers that docs/extend_logging.md adds do what the page says."""

import csv
import json
import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader
from training.toy_training import LinearTask

from aunet.build.tracker import build_tracker
from aunet.build.trainer import build_own_callbacks
from aunet.classes import Labels
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import RunConfig
from aunet.errors import UserError
from aunet.training.callbacks.epoch_tables import EpochTables
from tests.docs.pages import blocks_of, write_files

FACTS = {
    "in_channels": 1,
    "num_classes": 2,
    "class_names": ["background", "ball"],
    "modality": "mr",
    "spatial_dims": 3,
    "spacing": [1.0, 1.0, 1.0],
    "patch_size": [16, 16, 16],
    "batch_size": 1,
}


@pytest.fixture
def folder(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Return the working folder, with ``conf/`` and the files that the page shows."""
    shutil.copytree(repository / "conf", tmp_path / "conf")
    names = write_files(repository / "docs" / "extend_logging.md", tmp_path)
    assert set(names) == {"my_values.py", "conf/trainer/watched.yaml", "my_tracker.py", "conf/logger/lines.yaml"}
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("my_values", "my_tracker"):
        sys.modules.pop(name, None)


def settings_of(repository: Path, folder: Path, number: int) -> RunConfig:
    """Return the settings of a command of the page."""
    blocks = blocks_of(repository / "docs" / "extend_logging.md")
    commands = [words for block in blocks if block.language == "sh" for words in block.commands()]
    return resolve_config(compose_config(commands[number][2:], folder / "conf"), FACTS)


@pytest.mark.filterwarnings("ignore")  # of Lightning's loops on a toy
def test_what_a_callback_logs_is_a_column_of_the_metrics(repository: Path, folder: Path) -> None:
    [callback] = build_own_callbacks(settings_of(repository, folder, 0).trainer)
    task = LinearTask()
    task.layer.weight.data[:] = 2.0
    trainer = Trainer(
        max_epochs=1,
        callbacks=[callback, EpochTables(folder, Labels(("background", "ball")), batch_size=1)],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    images: Any = [torch.zeros(3)]  # without a gradient
    trainer.fit(task, DataLoader(images), DataLoader(images))
    with (folder / "metrics.csv").open() as file:
        [row] = csv.DictReader(file)
    assert float(row["weights/norm"]) == pytest.approx(12**0.5)


def test_a_tracker_is_one_python_and_one_yaml_file(repository: Path, folder: Path) -> None:
    settings = settings_of(repository, folder, 1)
    tracker = build_tracker(settings, folder / "runs" / "tracked")
    assert tracker is not None
    assert tracker.description == "lines"
    tracker.start()
    tracker.metrics({"val/dice": 0.5}, 3)
    tracker.finish()
    [line] = (folder / "all_runs.jsonl").read_text().splitlines()
    assert json.loads(line) == {"run": "runs/tracked", "epoch": 3, "val/dice": 0.5}


@pytest.mark.parametrize(
    ("logger", "names"),
    [
        ("[wandb,tensorboard]", "W&B, TensorBoard"),
        ("[tensorboard,csv]", "TensorBoard"),
        ("[csv,wandb,lines]", "W&B, lines"),
    ],
)
def test_several_options_of_logger_add_up(logger: str, names: str, folder: Path) -> None:
    config = compose_config([f"logger={logger}", "trusted_modules=[my_tracker]"], folder / "conf")
    tracker = build_tracker(resolve_config(config, FACTS), folder)
    assert tracker is not None
    assert tracker.description == names


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trainer.callbacks=[{_target_: torch.nn.ReLU}]", "not a callback of Lightning"),
        ("trainer.callbacks=[WeightNorm]", "not a callback of Lightning"),
        ("trainer.callbacks=[{order: 2}]", "not a callback of Lightning"),
    ],
)
def test_an_entry_that_is_not_a_callback_is_refused(word: str, message: str) -> None:
    settings = resolve_config(compose_config([word]), FACTS)
    with pytest.raises(UserError, match=message):
        build_own_callbacks(settings.trainer)


def test_a_callback_of_a_module_that_is_not_trusted_is_refused_with_the_remedy() -> None:
    with pytest.raises(UserError, match=r"trainer.callbacks\[0\].*trusted_modules=\[its_name\]"):
        resolve_config(compose_config(["trainer.callbacks=[{_target_: my_values.WeightNorm}]"]), FACTS)


def test_two_callbacks_with_one_state_are_refused(repository: Path, folder: Path) -> None:
    settings = settings_of(repository, folder, 0)
    settings.trainer.callbacks *= 2
    with pytest.raises(UserError, match=r"trainer.callbacks\[1\].*state_key"):
        build_own_callbacks(settings.trainer)


def test_a_tracker_without_a_class_is_refused() -> None:
    settings = resolve_config(compose_config(["logger=csv", "+logger.trackers.mine=yes"]), FACTS)
    with pytest.raises(UserError, match=r"logger.trackers.mine.*_target_"):
        build_tracker(settings, Path("run"))
