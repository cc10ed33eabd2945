"""The signals that stop a training with a checkpoint."""

import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from aunet.training.callbacks.checkpoints import Checkpoints


@pytest.mark.parametrize(("before", "is_handled"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_closed_terminal_stops_a_training_unless_nohup_ignores_it(
    before: signal.Handlers, is_handled: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = signal.signal(signal.SIGHUP, before)
    callback, trainer, task = Checkpoints(tmp_path), Trainer(logger=False, barebones=True), LightningModule()
    try:
        callback.on_train_start(trainer, task)
        if is_handled:
            signal.raise_signal(signal.SIGHUP)
            assert "Stopping after this step" in caplog.text
        else:
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        callback.on_train_end(trainer, task)
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, found)


class OneStep(LightningModule):
    def __init__(self, *, is_failing: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self._is_failing = is_failing

    def training_step(self, batch: object, batch_idx: int) -> Tensor:
        if self._is_failing:
            raise ArithmeticError
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("is_failing", [True, False])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_after_the_training_signals_act_as_before_it(name: str, is_failing: bool, tmp_path: Path) -> None:
    """Else the scoring of the test cases, which may take an hour, could not be stopped."""

    def own(number: int, frame: object) -> None: ...

    before = signal.signal(signal.Signals[name], own)
    try:
        trainer = Trainer(barebones=True, max_steps=1, accelerator="cpu", callbacks=Checkpoints(tmp_path))
        with pytest.raises(ArithmeticError) if is_failing else nullcontext():
            trainer.fit(OneStep(is_failing=is_failing), DataLoader([0]))  # pyright: ignore[reportArgumentType]
        assert signal.getsignal(signal.Signals[name]) == own
    finally:
        signal.signal(signal.Signals[name], before)
