"""`aunet prepare` makes what a training with the same words would make, so that the training finds it."""

import logging
from pathlib import Path

import pytest
from scans import write_msd_task

from aunet.commands.main import main


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    root = write_msd_task(tmp_path / "task", num_cases=5)
    return ["data=msd", f"data.root={root}", f"data.cache={tmp_path / 'cache'}", "data.patch_size=[16,16,16]"]


def test_the_training_and_validation_cases_are_stored_and_counted(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", *words]) == 0
    stored = sorted(path.parent.name.split("-")[0] for path in (tmp_path / "cache").rglob("case.json"))
    assert len(stored) == 4  # of five cases one is for testing
    table = capsys.readouterr().out
    assert "Prepared cases" in table
    assert " 4 " in table


def test_a_second_time_nothing_is_made(words: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert main(["prepare", *words]) == 0
    caplog.clear()
    with caplog.at_level(logging.INFO, "aunet"):
        assert main(["prepare", "--verify", *words]) == 0
    assert "4 cases, 0 of them made now" in caplog.text


@pytest.mark.parametrize(
    ("word", "message"),
    [("--verfiy", "no such option"), ("modle=unet", "no key or group"), ("store_budget=-1", "must be above 0")],
)
def test_a_mistake_is_status_2(word: str, message: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", *words, word]) == 2
    assert message in capsys.readouterr().err


def test_more_than_the_budget_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", *words, "store_budget=1e-9"]) == 2
    assert "Delete what is no longer used" in capsys.readouterr().err
