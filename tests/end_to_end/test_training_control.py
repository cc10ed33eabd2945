"""When a training saves, stops early, or gives up."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from aunet.commands.main import main
from aunet.training.checkpoints import Checkpoints

OVERFLOW = "optimizer.factory.lr=1e30"


@pytest.fixture(scope="session")
def plain_settings(small_settings: list[str]) -> list[str]:
    return ["model=unet", "logger=csv", *(word for word in small_settings if "factory.lr" not in word)]


def test_a_loss_that_is_no_number_ends_the_run_with_its_batch_saved(
    plain_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert main(["train", *plain_settings, OVERFLOW, f"hydra.run.dir={folder}"]) == 2
    batch = torch.load(folder / "failed_batch.pt", weights_only=True)
    message = capsys.readouterr().err
    assert all(case_id in message for case_id in batch["case_id"])
    assert batch["image"].shape[0] == 2
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"


def test_a_step_whose_loss_is_no_number_can_be_skipped(
    plain_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [*plain_settings, OVERFLOW, "trainer.on_nonfinite=skip", "trainer.max_epochs=1"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert "skipped" in caplog.text


def test_patience_ends_a_training_that_no_longer_improves(plain_settings: list[str], tmp_path: Path) -> None:
    words = [*plain_settings, "optimizer.factory.lr=0", "model.network.norm=instance", "trainer.max_epochs=9"]
    assert main(["train", *words, "trainer.patience=2", f"hydra.run.dir={tmp_path}/run"]) == 0
    assert len(pd.read_csv(tmp_path / "run" / "metrics.csv")) == 3


def test_checkpoints_are_also_written_by_the_clock(
    plain_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []
    plain_save = Checkpoints._save

    def save(checkpoints: Checkpoints, trainer: Any, name: str) -> None:
        saved.append(name)
        plain_save(checkpoints, trainer, name)

    monkeypatch.setattr(Checkpoints, "_save", save)
    words = [*plain_settings, "trainer.max_epochs=1", "trainer.checkpoint_minutes=1e-9"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert saved == ["last.ckpt"] * 3 + ["best.ckpt", "last.ckpt"]  # three steps inside the epoch, then its end
