"""The precision and layout of a run are recorded when it starts, and kept when it continues."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from aunet.commands.main import main
from aunet.training.hardware import HardwareChoice

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="session")
def plain_settings(small_settings: list[str]) -> list[str]:
    return ["model=unet", "logger=csv", *small_settings, "trainer.max_epochs=1"]


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def test_the_choice_is_in_the_runs_record(finished_run: Path) -> None:
    computing = record_of(finished_run)["computing"]
    assert computing.pop("device") in ("cpu", "cuda")
    assert computing == {"precision": "float32", "is_channels_last": True, "is_tf32": True, "compiled": False}


def test_a_resumed_run_keeps_its_choice_where_the_machine_would_now_choose_otherwise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = HardwareChoice("cpu", "float32", True, True, "has no fast bf16")
    recorded = {"device": "cuda", "precision": "bf16", "is_channels_last": False, "is_tf32": False}
    kept = here.going_on_from(recorded)
    assert (kept.device, kept.precision, kept.is_channels_last, kept.is_tf32) == ("cpu", "bf16", False, False)
    assert "began on cuda and continues on cpu" in caplog.text
    assert "began in bf16" in caplog.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can do both")
def test_precision_that_a_processor_lacks_is_refused(
    plain_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in plain_settings if "precision" not in word]
    assert main(["train", *words, "trainer.precision=fp16", f"hydra.run.dir={tmp_path}/run"]) == 2
    assert "only CUDA GPUs train in fp16" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_deterministic_operations_train_on_a_processor(plain_settings: list[str], tmp_path: Path) -> None:
    words = [*plain_settings, "trainer.deterministic=true", "trainer.accelerator=cpu"]
    try:
        assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.slow
def test_without_a_compiler_the_run_continues_with_one_line(plain_settings: list[str], tmp_path: Path) -> None:
    """The training runs in a process of its own: torch never looks for a compiler again."""
    words = [
        "train",
        *plain_settings,
        "model.network.channels=[4,4]",
        "trainer.compile=true",
        f"hydra.run.dir={tmp_path}/run",
    ]
    without = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    program = [sys.executable, "-m", "aunet.commands.main", *words]
    done = subprocess.run(program, env=os.environ | without, capture_output=True, text=True, timeout=280, check=True)
    assert " ".join((done.stdout + done.stderr).split()).count("the run continues without") == 1
    assert record_of(tmp_path / "run")["computing"]["compiled"] is False


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_compiled_training_learns_what_one_as_written_does(
    plain_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[str] = []
    for name, setting in (("written", "false"), ("compiled", "true")):
        assert main(["train", *plain_settings, f"trainer.compile={setting}", f"hydra.run.dir={tmp_path}/{name}"]) == 0
        rows.append((tmp_path / name / "metrics.csv").read_text().splitlines()[1].split(",")[1])
    assert "the run continues without" not in caplog.text
    assert record_of(tmp_path / "compiled")["computing"]["compiled"] is True
    assert float(rows[0]) == pytest.approx(float(rows[1]), rel=1e-3)
