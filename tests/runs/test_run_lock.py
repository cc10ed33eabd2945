"""Two processes never train in one folder, and a dead one leaves it free."""

import errno
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from aunet.errors import UserError
from aunet.runs.run_lock import holder, is_locked, locked_folder

HOLD = (
    "import sys, time; from pathlib import Path; from aunet.runs.run_lock import locked_folder\n"
    "with locked_folder(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def other_process(tmp_path: Path, repository: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], cwd=repository, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_use_is_refused_with_the_process_until_that_is_killed(
    other_process: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert is_locked(tmp_path)
    assert holder(tmp_path)["process"] == other_process.pid
    with pytest.raises(UserError, match=f"process {other_process.pid}"), locked_folder(tmp_path):
        pass

    other_process.kill()
    other_process.communicate()

    assert not is_locked(tmp_path)
    with locked_folder(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_the_next_process_deletes_unfinished_files_of_a_killed_one(tmp_path: Path) -> None:
    names = ["run.json", "checkpoints/last.ckpt", "test/predictions/a.nii.gz", "attention/volumes/a/epoch_0000.npz"]
    for name in names:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("whole")
        file.with_name(f".0123abcd-{file.name}").write_text("half")
    of_others = tmp_path / "predictions" / ".0123abcd-a.nii.gz"  # of aunet predict, which may be running
    of_others.parent.mkdir()
    of_others.write_text("half")
    with locked_folder(tmp_path):
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*names, "run.lock", str(of_others.relative_to(tmp_path))}


def test_unfinished_files_that_cannot_be_deleted_are_not_taken_for_a_missing_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*paths: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(paths[0]))

    monkeypatch.setattr("aunet.runs.run_lock.remove_remainders", refuse)
    with pytest.raises(PermissionError), locked_folder(tmp_path):
        pass
    assert "cannot be locked" not in caplog.text


def test_a_folder_that_nobody_ever_locked_is_free(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "new")
    assert holder(tmp_path / "new") == {}


def test_the_first_process_of_a_run_locks_for_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    monkeypatch.setenv("RANK", "0")
    with locked_folder(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with locked_folder(tmp_path):
            assert is_locked(tmp_path)


def test_a_process_whose_rank_another_program_set_locks_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with locked_folder(tmp_path):
        assert is_locked(tmp_path)


@pytest.mark.parametrize("files", [(), ("run.json",)])
def test_a_start_that_was_refused_leaves_no_folder_unless_something_is_in_it(
    files: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with suppress(UserError), locked_folder(folder):
        for name in files:
            (folder / name).touch()
        raise UserError("refused")
    assert folder.is_dir() == bool(files)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_start_that_was_refused_removes_an_empty_folder_only_if_it_made_it(is_new: bool, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with suppress(UserError), locked_folder(folder, is_new=is_new):
        raise UserError("refused")
    assert list(tmp_path.rglob("*")) == ([] if is_new else [folder])
