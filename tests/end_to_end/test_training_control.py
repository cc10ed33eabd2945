"""When a training saves, stops early, or fails."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from scans import write_msd_task, write_nifti

from aunet.commands.main import main
from aunet.training.callbacks.checkpoints import Checkpoints

pytestmark = pytest.mark.usefixtures("without_pictures")

OVERFLOW = "optimizer.factory.lr=1e30"


@pytest.fixture(scope="session")
def plain_settings(small_settings: list[str]) -> list[str]:
    return ["model=unet", "logger=csv", *(word for word in small_settings if "factory.lr" not in word)]


def test_a_loss_of_nan_ends_the_run_with_its_batch_saved(
    plain_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert main(["train", *plain_settings, OVERFLOW, f"hydra.run.dir={folder}"]) == 2
    batch = torch.load(folder / "failed_batch.pt", weights_only=True)
    message = capsys.readouterr().err
    assert all(case_id in message for case_id in batch["case_id"])
    assert batch["image"].shape[0] == 2
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"


@pytest.mark.slow
def test_a_step_whose_loss_is_nan_can_be_skipped(
    plain_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [*plain_settings, OVERFLOW, "trainer.on_nonfinite=skip", "trainer.max_epochs=1"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert "skipped" in caplog.text


def test_patience_ends_a_training_that_no_longer_improves(plain_settings: list[str], tmp_path: Path) -> None:
    words = [*plain_settings, "optimizer.factory.lr=0", "model.network.norm=instance", "trainer.max_epochs=9"]
    assert main(["train", *words, "trainer.patience=2", f"hydra.run.dir={tmp_path}/run"]) == 0
    assert len(pd.read_csv(tmp_path / "run" / "metrics.csv")) == 3


@pytest.mark.parametrize(
    ("kept", "warning", "best_epoch"),
    [
        pytest.param(
            (),
            "no validation case has any class, so no Dice is defined: the last epoch",
            2,
            marks=pytest.mark.slow,
            id="no class",
        ),
        pytest.param(
            (1,),
            "no validation case has box, so the best epoch is chosen by the other classes",
            None,
            id="one class",
        ),
    ],
)
def test_classes_that_no_validation_case_has_do_not_choose_the_best_epoch(
    kept: tuple[int, ...],
    warning: str,
    best_epoch: int | None,
    plain_settings: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    task, run = write_msd_task(tmp_path / "Task98_Balls", num_cases=4), tmp_path / "run"
    for case_id, classes in {"ball_000": (1,), "ball_001": (1,), "ball_002": kept}.items():
        path = task / "labelsTr" / f"{case_id}.nii.gz"
        label = np.asarray(nibabel.nifti1.load(path).dataobj)
        write_nifti(path, np.where(np.isin(label, classes), label, 0).astype(np.uint8))
    parts = {"train": ["ball_000", "ball_001"], "val": ["ball_002"], "test": ["ball_003"]}
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    words = [word for word in plain_settings if "data.root" not in word and "max_epochs" not in word]
    words += [f"data.root={task}", f"data.split.file={tmp_path}/parts.json", "trainer.max_epochs=3"]
    patience = [] if kept else ["trainer.patience=1"]
    assert main(["train", *words, *patience, "optimizer.factory.lr=0.01", f"hydra.run.dir={run}"]) == 0
    told = " ".join(caplog.text.split())
    assert warning in told
    assert "no training case has box" in told
    metrics = pd.read_csv(run / "metrics.csv")
    assert metrics["val/dice/box"].isna().all()
    assert metrics["val/dice"].equals(metrics["val/dice/ball"])
    best = json.loads((run / "run.json").read_text())["best_epoch"]
    assert best == (int(metrics["val/dice"].idxmax()) if best_epoch is None else best_epoch)


@pytest.mark.slow
def test_checkpoints_are_also_written_by_the_clock(
    plain_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Path] = []
    plain_save = Checkpoints._save

    def save(checkpoints: Checkpoints, trainer: Any, path: Path) -> None:
        saved.append(path)
        plain_save(checkpoints, trainer, path)

    monkeypatch.setattr(Checkpoints, "_save", save)
    words = [*plain_settings, "trainer.max_epochs=1", "trainer.checkpoint_minutes=1e-9"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    assert [path.name for path in saved] == ["last.ckpt"] * 3 + [
        "best.ckpt"
    ]  # three steps inside the epoch, then its end
    checkpoints = tmp_path / "run" / "checkpoints"
    assert (checkpoints / "last.ckpt").read_bytes() == (checkpoints / "best.ckpt").read_bytes()
