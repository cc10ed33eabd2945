"""One small run on made-up scans, shared by the tests that look at what a run leaves."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from scans import write_msd_task
from torch import nn

from aunet.commands.main import main
from aunet.networks.inspection.cost import forward_gflop
from aunet.training.callbacks.forecast import Forecast
from aunet.training.pace import Pace

Train = Callable[..., int]


@pytest.fixture(scope="session")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_msd_task(tmp_path_factory.mktemp("scans") / "Task99_Balls", num_cases=8)


@pytest.fixture(scope="session")
def small_settings(task_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return a network and a training that take seconds."""
    return [
        "data=msd",
        f"data.root={task_folder}",
        f"data.cache={tmp_path_factory.mktemp('cache')}",
        "data.patch_size=[16,16,16]",
        "data.batch_size=2",
        "model.network.channels=[4,8,8]",
        "trainer.max_epochs=3",
        "trainer.batches_per_epoch=4",
        "trainer.precision=float32",
        "optimizer.factory.lr=0.01",
    ]


@pytest.fixture(scope="session")
def attention_settings(small_settings: list[str]) -> list[str]:
    return ["model=attention", *small_settings, "model.network.gated_levels=[1,2]"]


@pytest.fixture(scope="session")
def finished_run(attention_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with W&B offline, the default logger."""
    folder = tmp_path_factory.mktemp("runs") / "attention"
    assert main(["train", *attention_settings, f"hydra.run.dir={folder}"]) == 0
    return folder


_GFLOP: dict[tuple[str, int, tuple[int, ...]], float | None] = {}


@pytest.fixture(autouse=True)
def without_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test's trainings the trial steps of the forecast, and count equal networks once; half their start-up."""
    monkeypatch.setattr(Forecast, "measure", lambda forecast, task: Pace(1.0, 1.0, 1e9, forecast.shape))
    monkeypatch.setattr("aunet.pipeline.steps.forward_gflop", _counted_once)
    monkeypatch.setattr("aunet.training.callbacks.forecast.forward_gflop", _counted_once)


def _counted_once(network: nn.Module, in_channels: int, patch_size: Sequence[int]) -> float | None:
    key = (str(network), in_channels, tuple(patch_size))
    if key not in _GFLOP:
        _GFLOP[key] = forward_gflop(network, in_channels, patch_size)
    return _GFLOP[key]
