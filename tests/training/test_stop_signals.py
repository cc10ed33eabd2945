"""The signals that stop a training with a checkpoint."""

import signal
from pathlib import Path

import pytest
from pytorch_lightning import LightningModule, Trainer

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
        callback.teardown(trainer, task, "fit")
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, found)
