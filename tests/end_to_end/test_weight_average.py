"""trainer.ema: the average is validated, kept as the best and tested; the training continues with its own weights."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from blank_pictures import blank_pictures

from aunet.build.model import load_run
from aunet.commands.main import main
from aunet.training.segmentation_task import SegmentationTask
from tests.end_to_end.fault_harness import differences

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="session")
def average_settings(attention_settings: list[str]) -> list[str]:
    return [*attention_settings, "logger=csv", "trainer.ema=0.9"]


@pytest.fixture(scope="session")
def averaged_run(average_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "averaged"
    with blank_pictures():
        assert main(["train", *average_settings, f"hydra.run.dir={folder}"]) == 0
    return folder


def checkpoint(run: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(run / "checkpoints" / name, weights_only=True)


def test_the_training_itself_is_that_without_an_average(averaged_run: Path, finished_run: Path) -> None:
    trained, plain = checkpoint(averaged_run)["trained_weights"], checkpoint(finished_run)["state_dict"]
    assert all(torch.equal(trained[name.removeprefix("network.")], plain[name]) for name in plain)


@pytest.mark.slow
def test_the_average_is_what_a_loop_over_the_steps_gives(
    average_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    plain_step = SegmentationTask.training_step

    def step(task: SegmentationTask, batch: dict[str, Any], batch_idx: int) -> torch.Tensor | None:
        seen.append(next(task.network.parameters()).detach().clone())
        return plain_step(task, batch, batch_idx)

    monkeypatch.setattr(SegmentationTask, "training_step", step)
    run = tmp_path / "run"
    assert main(["train", *average_settings, "trainer.max_epochs=1", f"hydra.run.dir={run}"]) == 0
    last = checkpoint(run)
    name = next(iter(last["trained_weights"]))
    average = seen[0]
    for number, weights in enumerate([*seen[1:], last["trained_weights"][name]], start=1):
        share = min(0.9, (1 + number) / (10 + number))
        average = share * average + (1 - share) * weights
    torch.testing.assert_close(last["state_dict"][f"network.{name}"], average)


def test_the_best_checkpoint_predicts_with_the_average(averaged_run: Path) -> None:
    best = checkpoint(averaged_run, "best.ckpt")
    loaded = load_run(averaged_run).network.state_dict()
    assert all(torch.equal(value, best["state_dict"][f"network.{name}"]) for name, value in loaded.items())
    assert not all(torch.equal(value, best["trained_weights"][name]) for name, value in loaded.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [pytest.param(1, id="in the first epoch"), pytest.param(6, id="in the second epoch")],
)
def test_a_resumed_run_ends_with_the_same_average(
    step: int, averaged_run: Path, average_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _check_resumes(average_settings, averaged_run, step, tmp_path / "stopped", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["model.network.dropout=0.1"], ["model=attention_hard", "trainer.ema=0.9"]],
    ids=["dropout", "hard gates with an average"],
)
def test_random_draws_of_a_network_are_repeated_after_a_resume(
    words: list[str], attention_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*attention_settings, "logger=csv", *words]
    settings = settings[1:] if any(word.startswith("model=") for word in words) else settings
    assert main(["train", *settings, f"hydra.run.dir={tmp_path}/whole"]) == 0
    _check_resumes(settings, tmp_path / "whole", 5, tmp_path / "stopped", monkeypatch)


def _check_resumes(
    settings: list[str], reference: Path, step: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        plain_step = SegmentationTask.training_step

        def stopped_step(task: SegmentationTask, batch: dict[str, Any], batch_idx: int) -> torch.Tensor | None:
            if task.trainer.global_step == step:
                os.kill(os.getpid(), signal.SIGINT)
            return plain_step(task, batch, batch_idx)

        patch.setattr(SegmentationTask, "training_step", stopped_step)
        assert main(["train", *settings, f"hydra.run.dir={folder}"]) == 130
    assert main(["train", f"resume={folder}"]) == 0
    assert differences(folder, reference) == []
