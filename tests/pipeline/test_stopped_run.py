"""A run that is stopped is recorded as interrupted, whoever noticed the signal."""

from pathlib import Path

import pytest
from pytorch_lightning.utilities.exceptions import SIGTERMException

import aunet.build.tracker
from aunet.pipeline import run
from aunet.runs.run_record import RunRecord
from aunet.runs.run_state import read_run_state
from aunet.training.callbacks.checkpoints import RunInterruptedError


@pytest.mark.parametrize("error", [SIGTERMException, KeyboardInterrupt, RunInterruptedError])
def test_a_stop_before_the_first_step_is_an_interruption(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(*arguments: object) -> None:
        raise error

    RunRecord(tmp_path).update(status="running")
    monkeypatch.setattr(aunet.build.tracker, "build_tracker", lambda config, folder: None)
    monkeypatch.setattr(run, "_train_and_score", stop)
    with pytest.raises(KeyboardInterrupt):
        run._run_parts(None, None, tmp_path, [])  # pyright: ignore[reportArgumentType, reportPrivateUsage]
    assert f"resume={tmp_path}" in caplog.text
    assert read_run_state(tmp_path).status == "interrupted"
