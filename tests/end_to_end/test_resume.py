"""A run that was stopped continues as if it had not been."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from aunet.commands.main import main
from aunet.training.segmentation_task import SegmentationTask

pytestmark = pytest.mark.usefixtures("without_pictures")


def stop_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Press Ctrl-C in the middle of a training step."""
    plain_step = SegmentationTask.training_step

    def step(task: SegmentationTask, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        if task.trainer.global_step == number:
            os.kill(os.getpid(), signal.SIGINT)
        return plain_step(task, batch, batch_idx)

    monkeypatch.setattr(SegmentationTask, "training_step", step)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(1, marks=pytest.mark.slow, id="in the first epoch"),
        pytest.param(3, marks=pytest.mark.slow, id="at the end of an epoch"),
        pytest.param(6, id="in the second epoch"),
    ],
)
def test_a_resumed_run_ends_as_one_never_interrupted(
    step: int, finished_run: Path, attention_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at_step(patch, step)
        assert main(["train", *attention_settings, "logger=csv", f"hydra.run.dir={folder}"]) == 130
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"

    assert main(["train", f"resume={folder}"]) == 0

    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    for name in ("metrics.csv", "attention/statistics.csv", "test/case_scores.csv"):
        assert (folder / name).read_bytes() == (finished_run / name).read_bytes(), name
    weights, expected = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (folder, finished_run)
    )
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(
    finished_run: Path, attention_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at_step(patch, 9)
        assert main(["train", *attention_settings, "logger=csv", f"hydra.run.dir={folder}"]) == 130
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:2000])

    assert main(["train", f"resume={folder}"]) == 0

    assert (folder / "metrics.csv").read_bytes() == (finished_run / "metrics.csv").read_bytes()


def test_a_resumed_run_keeps_its_settings(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"resume={finished_run}", "optimizer.factory.lr=1"]) == 2
    assert "keeps the settings" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_limited_in_time_says_that_it_is_not_repeatable(attention_settings: list[str], tmp_path: Path) -> None:
    words = [*attention_settings, "logger=csv", "trainer.max_epochs=1000", "trainer.max_time=00:00:00:02"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/timed"]) == 0
    record = json.loads((tmp_path / "timed" / "run.json").read_text())
    assert record["repeatable"] is False
    assert 2 <= record["durations"]["train"] < 60
