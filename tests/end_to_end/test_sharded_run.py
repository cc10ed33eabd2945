"""Two ranks that share out weights, gradients and optimizer state train as two that do not."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from aunet.commands.main import main
from tests.end_to_end.test_ranks import train

PARALLEL = ["logger=csv", "model.network.norm=instance", "trainer.accelerator=cpu", "trainer.devices=2"]


@pytest.mark.slow
def test_a_sharded_training_is_one_that_is_not_and_resumes(attention_settings: list[str], tmp_path: Path) -> None:
    words = [*attention_settings, *PARALLEL, "data.split.val=0.1"]  # one validation case: one rank has none
    for strategy in ("ddp", "fsdp"):
        process = train(words, tmp_path / strategy, f"trainer.strategy={strategy}")
        assert process.returncode == 0, process.stderr
        process = extend(tmp_path / strategy)
        assert process.returncode == 0, process.stderr
    ddp, fsdp = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("ddp", "fsdp"))
    pd.testing.assert_frame_equal(ddp, fsdp, rtol=1e-3)
    for name in ("attention/statistics.csv", "test/case_scores.csv"):
        ddp, fsdp = (pd.read_csv(tmp_path / strategy / name) for strategy in ("ddp", "fsdp"))
        pd.testing.assert_frame_equal(ddp, fsdp, rtol=1e-2)
    for name in ("last", "best"):
        ddp, fsdp = (
            torch.load(tmp_path / strategy / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for strategy in ("ddp", "fsdp")
        )
        assert {key: value.shape for key, value in ddp.items()} == {key: value.shape for key, value in fsdp.items()}


def extend(run: Path) -> subprocess.CompletedProcess[str]:
    """Two more epochs, for which weights and optimizer state are read back."""
    command = [sys.executable, "-m", "aunet.commands.main", "train", f"extend={run}", "trainer.max_epochs=5"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("word", ["trainer.ema=0.9", "trainer.compile=true", "trainer.sync_batchnorm=true"])
def test_settings_that_need_whole_tensors_are_refused_with_fsdp(
    word: str, attention_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*attention_settings, *PARALLEL, "trainer.strategy=fsdp", word, f"hydra.run.dir={tmp_path}/run"]
    assert main(["train", *words]) == 2
    assert word.partition("=")[0] in capsys.readouterr().err
