"""A run that is stopped is recorded as interrupted, whoever noticed the signal."""

import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
from pytorch_lightning.utilities.exceptions import SIGTERMException

import aunet.build.tracker
from aunet.pipeline import launch, run
from aunet.runs.run_record import RunRecord
from aunet.runs.run_state import read_run_state
from aunet.training.callbacks.checkpoints import RunInterruptedError


@pytest.mark.parametrize("error", [SIGTERMException, KeyboardInterrupt, RunInterruptedError, SystemExit])
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


def test_a_stop_before_the_record_offers_no_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("SLURM_JOB_ID", "1")  # its mark alone starts no record either
    monkeypatch.setattr(aunet.build.tracker, "build_tracker", lambda config, folder: None)
    monkeypatch.setattr(run, "_train_and_score", stop)
    with pytest.raises(KeyboardInterrupt):
        run._run_parts(None, None, tmp_path, [])  # pyright: ignore[reportArgumentType, reportPrivateUsage]
    assert "Start again with the same command" in caplog.text
    assert "resume=" not in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "error"), [(1, KeyboardInterrupt), (0, None)])
def test_ranks_that_are_stopped_before_the_training_have_not_failed(
    status: int, error: type[BaseException] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    class Ranks:
        send_signal = staticmethod(sent.append)

        def wait(self) -> int:
            signal.raise_signal(signal.SIGTERM)
            return status

    monkeypatch.setattr(launch.subprocess, "Popen", lambda *arguments, **settings: Ranks())
    with pytest.raises(error) if error else nullcontext():
        launch.train_on_ranks([], tmp_path, 2)
    assert sent == [signal.SIGTERM]
