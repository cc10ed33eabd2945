"""The first of several processes to end decides how their run ended."""

import json
import signal
from pathlib import Path

import pytest

from aunet.errors import UserError
from aunet.runs import rank_ends
from aunet.runs.rank_ends import RankEnd, first_end, forget_ends, note_killed, read_first_end


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(rank_ends, "num_ranks", lambda: 2)
    return monkeypatch


def test_a_stop_after_another_rank_failed_is_its_failure(as_rank: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failed = RankEnd("failed", 1, "ValueError: no")
    as_rank.setattr(rank_ends, "rank", lambda: 1)
    assert first_end(tmp_path, ValueError("no\nmore"), is_stop=False) == failed
    as_rank.setattr(rank_ends, "rank", lambda: 0)
    assert first_end(tmp_path, KeyboardInterrupt(), is_stop=True) == failed
    assert str(failed) == "rank 1: ValueError: no"


def test_an_exchange_that_breaks_after_another_rank_stopped_is_a_stop(
    as_rank: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_rank.setattr(rank_ends, "rank", lambda: 1)
    first_end(tmp_path, KeyboardInterrupt(), is_stop=True)
    as_rank.setattr(rank_ends, "rank", lambda: 0)
    assert first_end(tmp_path, RuntimeError("Connection closed by peer"), is_stop=False).status == "interrupted"


def test_a_rank_that_was_killed_replaces_the_error_that_followed_but_no_stop(
    as_rank: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_rank.setattr(rank_ends, "rank", lambda: 0)
    first_end(tmp_path, RuntimeError("Connection closed by peer"), is_stop=False)
    note_killed(tmp_path, 1, signal.SIGSEGV)
    assert read_first_end(tmp_path) == RankEnd("failed", 1, "killed by SIGSEGV")

    forget_ends(tmp_path)
    first_end(tmp_path, KeyboardInterrupt(), is_stop=True)
    note_killed(tmp_path, 1, signal.SIGKILL)
    assert read_first_end(tmp_path) == RankEnd("interrupted", 0)


def test_a_single_process_leaves_no_note(tmp_path: Path) -> None:
    end = first_end(tmp_path, UserError("data.root: no such folder."), is_stop=False)
    assert (str(end), end.is_users) == ("data.root: no such folder.", True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"status": "failed", "of": "another version"})])
def test_a_damaged_note_counts_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "first_end.json").write_text(content)
    assert read_first_end(tmp_path) is None
