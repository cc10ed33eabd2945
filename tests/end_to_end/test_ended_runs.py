"""Runs ended by epochs, time or patience: resumed they stay as they are, extended they continue."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from blank_pictures import blank_pictures

from aunet.commands.main import main
from aunet.pipeline.launch import words_of_ranks
from aunet.training.segmentation_task import SegmentationTask
from tests.training.toy_training import ToyTime

pytestmark = pytest.mark.usefixtures("without_pictures")

STILL = ["optimizer.factory.lr=0", "model.network.norm=instance"]
CAUSES = {
    "max_epochs": ["trainer.max_epochs=2"],
    "max_time": ["trainer.max_epochs=99", "trainer.max_time=00:00:00:06"],
    "patience": ["trainer.max_epochs=99", "trainer.patience=1", *STILL],
}
EXTENSIONS = {
    "max_epochs": ["trainer.max_epochs=3"],
    "max_time": ["trainer.max_time=00:00:00:10"],
    "patience": ["trainer.max_epochs=100"],
}

GROUPS = ["trainer.max_epochs=2", "trainer.accumulate=3"]

Train = Callable[..., int]
CopyOfRun = Callable[[str], Path]


@pytest.fixture
def train(small_settings: list[str], monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train in a time in which every training step takes a second and nothing else does."""
    toy_time = ToyTime().take_the_place_of_time(monkeypatch)
    plain_step = SegmentationTask.training_step

    def step(task: SegmentationTask, batch: dict[str, Any], batch_idx: int) -> torch.Tensor | None:
        toy_time.seconds += 1.0
        return plain_step(task, batch, batch_idx)

    monkeypatch.setattr(SegmentationTask, "training_step", step)
    others = [word for word in small_settings if "max_epochs" not in word]

    def run(*words: str, is_new: bool = False) -> int:
        given = ["model=unet", "logger=csv", *others] if is_new else []
        unique = {word.partition("=")[0]: word for word in (*given, *words)}
        return main(["train", *unique.values()])

    return run


@pytest.fixture(scope="module")
def ended_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ended")


@pytest.fixture
def run_ended_by(train: Train, ended_runs: Path, tmp_path: Path) -> CopyOfRun:
    """Copy the run that one of ``CAUSES`` ended, which is trained for the first test that asks for it."""

    def copy_of_run(cause: str) -> Path:
        trained = ended_runs / cause
        if not trained.exists():
            assert train(*CAUSES[cause], f"hydra.run.dir={trained}", is_new=True) == 0
        return shutil.copytree(trained, tmp_path / "run")

    return copy_of_run


@pytest.fixture(scope="module")
def grouped_run(small_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grouped") / "run"
    words = {word.partition("=")[0]: word for word in (*small_settings, *GROUPS)}
    with blank_pictures():
        assert main(["train", "model=unet", "logger=csv", *words.values(), f"hydra.run.dir={folder}"]) == 0
    return folder


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but its lock."""
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"}


@pytest.mark.parametrize(
    "cause", ["max_epochs", *(pytest.param(cause, marks=pytest.mark.slow) for cause in ("max_time", "patience"))]
)
def test_a_finished_run_that_is_resumed_stays_as_it_is_and_trains_longer_if_extended(
    cause: str, run_ended_by: CopyOfRun, train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_ended_by(cause)
    before = record_of(run)
    assert before["ended_by"] == cause
    assert before["epochs"] == len(pd.read_csv(run / "metrics.csv")) == 2
    assert before["steps"] == (6 if cause == "max_time" else 8)

    files = contents(run)
    for _ in range(2):
        caplog.clear()
        assert train(f"resume={run}") == 0
        assert contents(run) == files
        assert f"is finished: trainer.{cause} ended it after 2 epochs" in " ".join(caplog.text.split())

    assert train(f"extend={run}", *EXTENSIONS[cause]) == 0
    after = record_of(run)
    assert (after["status"], after["ended_by"]) == ("finished", cause)
    assert after["steps"] == {"max_epochs": 12, "max_time": 10, "patience": 12}[cause]
    assert list(pd.read_csv(run / "metrics.csv")["epoch"]) == [0, 1, 2]


@pytest.mark.slow
def test_a_run_that_was_killed_while_it_was_scored_trains_no_step_more(run_ended_by: CopyOfRun, train: Train) -> None:
    run = run_ended_by("max_time")
    files = contents(run)
    (run / "run.json").write_text(json.dumps(record_of(run) | {"status": "running"}))
    assert train(f"resume={run}") == 0
    kept = [path for path in files if path.endswith((".ckpt", "metrics.csv", "case_scores.csv"))]
    assert len(kept) == 5
    assert all(Path(path).read_bytes() == files[path] for path in kept)
    assert record_of(run)["ended_by"] == "max_time"


def test_the_processes_of_a_run_are_given_its_new_time_limit() -> None:
    """It is not in the run's config.yaml before they start."""
    limit, run = "trainer.max_time=00:01:00:00", Path("run")
    assert words_of_ranks(["resume=run", limit], run) == ["resume='run'", limit]
    assert words_of_ranks(["extend=run", "trainer.max_epochs=9", limit], run) == ["resume='run'", limit]


@pytest.mark.slow
def test_a_time_limit_of_days_is_read_as_it_is_written(run_ended_by: CopyOfRun, train: Train) -> None:
    """YAML takes 10:00:00:00 for a number in base 60."""
    text, run = "10:00:00:00", run_ended_by("max_epochs")
    assert train(f"extend={run}", "trainer.max_epochs=3", f"trainer.max_time={text}") == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_time"] == text


@pytest.mark.slow
def test_a_finished_run_whose_last_checkpoint_is_damaged_makes_it_anew(run_ended_by: CopyOfRun, train: Train) -> None:
    run = run_ended_by("max_epochs")
    last, tables = run / "checkpoints" / "last.ckpt", (run / "metrics.csv").read_bytes()
    weights = torch.load(last, weights_only=True)["state_dict"]
    os.truncate(last, last.stat().st_size // 2)
    assert train(f"resume={run}") == 0
    again = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert (run / "metrics.csv").read_bytes() == tables


def test_a_finished_run_without_a_report_gets_one(run_ended_by: CopyOfRun, train: Train) -> None:
    run = run_ended_by("max_epochs")
    (run / "report.html").unlink()
    assert train(f"resume={run}") == 0
    assert (run / "report.html").is_file()


@pytest.mark.slow
def test_a_finished_run_that_the_clock_ended_continues_with_more_time(
    run_ended_by: CopyOfRun, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_ended_by("max_time")
    assert train(f"extend={run}", "trainer.max_epochs=100") == 2
    assert "trainer.max_time=00:00:00:06: this limit ended the run" in " ".join(capsys.readouterr().err.split())
    assert train(f"resume={run}", "trainer.max_time=00:00:00:05") == 0
    assert record_of(run)["steps"] == 6
    assert train(f"resume={run}", "trainer.max_time=00:00:00:11") == 0
    assert record_of(run)["steps"] == 11
    assert train(f"extend={run}", "trainer.max_time=null", "trainer.max_epochs=5") == 0
    assert record_of(run)["ended_by"] == "max_epochs"
    assert list(pd.read_csv(run / "metrics.csv")["epoch"]) == [0, 1, 2, 3, 4]
    assert pd.read_csv(run / "metrics.csv")["learning_rate"].iloc[-1] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("epoch", "batch"), [(0, 1), (0, 0), (0, 2), (1, 3)])
def test_a_run_in_groups_of_batches_resumes_as_one_never_interrupted(
    epoch: int, batch: int, grouped_run: Path, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 4 batches in groups of 3 and 1: a stop within a group waits for its optimizer step."""
    with monkeypatch.context() as patch:
        plain_step = SegmentationTask.training_step

        def stopped_step(task: SegmentationTask, of: dict[str, Any], batch_idx: int) -> torch.Tensor | None:
            if (task.trainer.current_epoch, batch_idx) == (epoch, batch):
                os.kill(os.getpid(), signal.SIGINT)
            return plain_step(task, of, batch_idx)

        patch.setattr(SegmentationTask, "training_step", stopped_step)
        assert train(*GROUPS, f"hydra.run.dir={tmp_path}/stopped", is_new=True) == 130
    assert train(f"resume={tmp_path}/stopped") == 0
    for name in ("metrics.csv", "test/case_scores.csv"):
        assert (tmp_path / "stopped" / name).read_bytes() == (grouped_run / name).read_bytes()
    assert record_of(tmp_path / "stopped")["steps"] == 4
