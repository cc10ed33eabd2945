"""A run that is stopped is recorded as interrupted, whoever noticed the signal."""

import errno
import json
import signal
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytorch_lightning.utilities.exceptions import SIGTERMException

import aunet.build.tracker
from aunet.errors import UserError
from aunet.pipeline import launch, run, steps
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

    monkeypatch.setenv("SLURM_JOB_ID", "1")  # its mark alone cannot be resumed either
    monkeypatch.setattr(aunet.build.tracker, "build_tracker", lambda config, folder: None)
    monkeypatch.setattr(run, "_train_and_score", stop)
    with pytest.raises(KeyboardInterrupt):
        run._run_parts(None, None, tmp_path, [])  # pyright: ignore[reportArgumentType, reportPrivateUsage]
    assert "Start again with the same command" in caplog.text
    assert "resume=" not in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_that_is_moved_away_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    RunRecord(folder).update(status="running")

    def lose(*arguments: object) -> None:
        folder.rename(tmp_path / "moved")
        raise FileNotFoundError(errno.ENOENT, "No such file", str(folder / "metrics.csv"))

    monkeypatch.setattr(aunet.build.tracker, "build_tracker", lambda config, folder: None)
    monkeypatch.setattr(run, "_train_and_score", lose)
    with pytest.raises(UserError, match=r"moved or deleted .* Put it back, then: aunet train resume="):
        run._run_parts(None, None, folder, [])  # pyright: ignore[reportArgumentType, reportPrivateUsage]
    assert not folder.exists()


@pytest.mark.parametrize("place", ["/cache/full", None])
def test_a_full_disk_is_named_with_the_command_that_continues(
    place: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("{}")

    def fill(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left", place)

    monkeypatch.setattr(aunet.build.tracker, "build_tracker", lambda config, folder: None)
    monkeypatch.setattr(run, "_train_and_score", fill)
    for is_started, again in ((False, "the same command again"), (True, f"aunet train resume={tmp_path}")):
        if is_started:
            RunRecord(tmp_path).update(status="running")
        with pytest.raises(UserError) as raised:
            run._run_parts(None, None, tmp_path, [])  # pyright: ignore[reportArgumentType, reportPrivateUsage]
        assert str(raised.value).startswith(f"{place or tmp_path}: the disk is full")
        assert str(raised.value).endswith(again)


def test_data_that_vanish_before_the_test_cost_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def miss(*arguments: object) -> None:
        raise UserError("scan.nii: no such file.")

    monkeypatch.setattr(steps, "train_run", lambda *arguments: None)
    monkeypatch.setattr(steps, "score_run", miss)
    config = SimpleNamespace(trainer=SimpleNamespace(probe=None))
    with pytest.raises(UserError, match=r"no such file\. The training is done; then score it with: aunet train resume"):
        run._train_and_score(config, None, tmp_path, None, None)  # pyright: ignore[reportArgumentType, reportPrivateUsage]


@pytest.mark.parametrize("is_stopped_again", [False, True])
def test_ranks_that_fail_when_a_stopped_run_is_resumed_are_not_taken_for_stopped(
    is_stopped_again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunRecord(tmp_path).update(status="interrupted", ended="2026-01-01T00:00:00+00:00")

    class Ranks:
        def wait(self) -> int:
            if is_stopped_again:
                RunRecord(tmp_path).end("interrupted")
            return 1

    monkeypatch.setattr(launch.subprocess, "Popen", lambda *arguments, **settings: Ranks())
    with pytest.raises(KeyboardInterrupt if is_stopped_again else ChildProcessError):
        launch.train_on_ranks([], tmp_path, 2)


@pytest.mark.parametrize(("is_users", "error"), [(False, ChildProcessError), (True, UserError)])
def test_a_failure_that_the_first_rank_did_not_survive_is_recorded_and_named(
    is_users: bool, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunRecord(tmp_path).update(status="running")

    class Ranks:
        def wait(self) -> int:
            note = {"status": "failed", "rank": 1, "error": "no room", "is_users": is_users}
            (tmp_path / "first_end.json").write_text(json.dumps(note))
            return 1

    monkeypatch.setattr(launch.subprocess, "Popen", lambda *arguments, **settings: Ranks())
    with pytest.raises(error, match="rank 1: no room"):
        launch.train_on_ranks([], tmp_path, 2)
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "rank 1: no room")
    assert not (tmp_path / "first_end.json").exists()


def test_a_failed_run_records_the_error_until_it_starts_again(tmp_path: Path) -> None:
    record = RunRecord(tmp_path)
    record.start()
    record.end("failed", "ValueError: no")
    assert json.loads((tmp_path / "run.json").read_text())["error"] == "ValueError: no"
    record.start()
    assert "error" not in json.loads((tmp_path / "run.json").read_text())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(("status", "error"), [(1, KeyboardInterrupt), (0, None)])
def test_ranks_that_stop_before_the_training_have_not_failed(
    name: str, status: int, error: type[BaseException] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    class Ranks:
        send_signal = staticmethod(sent.append)

        def wait(self) -> int:
            signal.raise_signal(signal.Signals[name])
            return status

    before = signal.signal(signal.Signals[name], signal.SIG_DFL)
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *arguments, **settings: Ranks())
    with pytest.raises(error) if error else nullcontext():
        launch.train_on_ranks([], tmp_path, 2)
    signal.signal(signal.Signals[name], before)
    assert sent == [signal.SIGTERM]


@pytest.mark.parametrize("is_named", [True, False])
def test_ranks_that_fail_before_they_write_leave_no_folder_but_the_users_own(
    is_named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(words: list[str], folder: Path, number: int) -> None:
        assert folder == tmp_path / "run"
        raise ChildProcessError

    if is_named:
        (tmp_path / "run").mkdir()
    monkeypatch.setattr(run, "train_on_ranks", fail)
    monkeypatch.setattr(run, "check_places", lambda draft, folder: None)
    monkeypatch.setattr(run, "_prepare_for_ranks", lambda *arguments: None)
    words, draft = [f"hydra.run.dir={tmp_path}/run"] if is_named else [], SimpleNamespace(resume=None)
    with pytest.raises(ChildProcessError):
        run._launch(draft, tmp_path / "run", words, 2)  # pyright: ignore[reportArgumentType, reportPrivateUsage]
    assert (tmp_path / "run").exists() == is_named
