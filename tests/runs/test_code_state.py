"""A run keeps which code ran: the commit, and the difference from it as a patch that applies."""

import subprocess
from pathlib import Path

import pytest

from aunet.runs import code_state
from aunet.runs.code_state import keep_patch, read_code_state


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    return subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Return a tracked file of a new checkout."""
    path = tmp_path / "checkout" / "package" / "module.py"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"first\r\nsecond\n")
    git(path.parent, "init", "--quiet", tmp_path / "checkout")
    git(path.parent, "add", ".")
    git(path.parent, "commit", "--quiet", "-m", "begin")
    return path


def test_unchanged_code_is_its_commit_alone(module: Path) -> None:
    state = read_code_state(module)
    assert state.commit == git(module.parent, "rev-parse", "HEAD").strip()
    assert state.patch == b""


def test_the_patch_restores_the_changes_of_tracked_files(module: Path, tmp_path: Path) -> None:
    (module.parent / "untracked.txt").write_text("mine")
    module.write_bytes(b"changed \xff\r\nsecond\n")
    state = read_code_state(module)
    assert state.commit is not None
    assert state.commit.endswith("+changes")
    assert b"untracked" not in state.patch
    assert keep_patch(tmp_path, state.patch) == "changes.patch"

    git(module.parent, "checkout", "--quiet", ".")
    git(module.parent.parent, "apply", str(tmp_path / "changes.patch"))

    assert module.read_bytes() == b"changed \xff\r\nsecond\n"


def test_code_that_no_checkout_tracks_has_no_commit(module: Path, tmp_path: Path) -> None:
    installed = module.parent / "site-packages" / "module.py"
    installed.parent.mkdir()
    installed.touch()
    assert read_code_state(installed).commit is None
    assert read_code_state(tmp_path / "module.py").commit is None


def test_other_changes_of_a_resumed_run_are_kept_beside_the_first(tmp_path: Path) -> None:
    assert keep_patch(tmp_path, b"") is None
    names = [keep_patch(tmp_path, patch) for patch in (b"one", b"one", b"two", b"one")]
    assert names == ["changes.patch", "changes.patch", "changes_2.patch", "changes.patch"]
    assert (tmp_path / "changes_2.patch").read_bytes() == b"two"


def test_a_patch_too_large_to_keep_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(code_state, "_LARGEST_PATCH_BYTES", 3)
    assert keep_patch(tmp_path, b"four") is None
    assert "too much to keep" in caplog.text
    assert not list(tmp_path.iterdir())
