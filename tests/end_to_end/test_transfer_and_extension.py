"""Runs that begin with another's weights, and runs that are given more epochs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from blank_pictures import blank_pictures

from aunet.commands.main import main

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="session")
def plain_settings(small_settings: list[str]) -> list[str]:
    return ["model=unet", "logger=csv", *small_settings, "trainer.max_epochs=2"]


@pytest.fixture(scope="module")
def trained_run(plain_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "short"
    with blank_pictures():
        assert main(["train", *plain_settings, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture
def short_run(trained_run: Path, tmp_path: Path) -> Path:
    """Return a copy of a run of two epochs, which a test may change."""
    return shutil.copytree(trained_run, tmp_path / "short")


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"]


def test_a_run_begins_with_the_weights_of_another(
    short_run: Path, plain_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is learned at a rate of 0; without batch norm nothing else moves either."""
    still = [word for word in plain_settings if "factory.lr" not in word]
    words = [*still, "optimizer.factory.lr=0", "seed=7", f"init={short_run}"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/next"]) == 0
    assert "tensors match" in caplog.text
    ours, theirs = weights(tmp_path / "next", "last.ckpt"), weights(short_run, "best.ckpt")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if "running" not in name and "num_" not in name)
    told = record_of(tmp_path / "next")["init"]
    assert len(told["matched"]) == len(theirs)
    assert told["left"] == told["unused"] == []


def test_weights_that_have_seen_test_cases_are_refused(
    short_run: Path, plain_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, words = tmp_path / "next", [*plain_settings, "data.split.seed=3", f"init={short_run}"]
    assert main(["train", *words, f"hydra.run.dir={run}"]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert f"init={short_run}: 2 of the 2 test cases were used by {short_run}" in message
    assert not (run / "run.json").exists()


@pytest.mark.slow
def test_weights_that_have_seen_test_cases_mark_the_run_if_they_are_allowed(
    short_run: Path, plain_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, words = tmp_path / "next", [*plain_settings, "data.split.seed=3", f"init={short_run}"]
    assert main(["train", *words, "init_overlap=allow", f"hydra.run.dir={run}"]) == 0
    [caveat] = record_of(run)["caveats"]
    assert caveat.startswith("2 of the 2 test cases were used before")
    assert caveat in " ".join(capsys.readouterr().out.split())
    assert caveat in (run / "report.html").read_text()
    assert main(["runs", str(tmp_path)]) == 0
    assert caveat in " ".join(capsys.readouterr().out.split())

    (run / "run.json").write_text(json.dumps(record_of(run) | {"status": "interrupted"}))
    assert main(["train", f"resume={run}"]) == 0
    assert record_of(run)["caveats"] == [caveat]


@pytest.mark.slow
def test_the_parts_that_a_refusal_offers_are_accepted(
    short_run: Path, plain_settings: list[str], tmp_path: Path
) -> None:
    words = [*plain_settings, "data.split.seed=3", f"data.split.file={short_run}/splits.json", f"init={short_run}"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/next"]) == 0
    assert "caveats" not in record_of(tmp_path / "next")


@pytest.mark.slow
def test_weights_from_a_file_are_marked_as_of_unknown_cases(
    short_run: Path, plain_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "weights.ckpt"
    file.write_bytes((short_run / "checkpoints" / "best.ckpt").read_bytes())
    assert main(["train", *plain_settings, f"init={file}", f"hydra.run.dir={tmp_path}/next"]) == 0
    [caveat] = record_of(tmp_path / "next")["caveats"]
    assert caveat == (
        f"The training cases of {file}, from whose weights this run started, are not recorded: test cases may be among"
        " them."
    )
    assert sum("are not recorded" in message for message in caplog.messages) == 1


def test_an_extended_run_continues_where_it_ended(short_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = pd.read_csv(short_run / "metrics.csv")
    assert main(["train", f"extend={short_run}", "trainer.max_epochs=4"]) == 0
    after = pd.read_csv(short_run / "metrics.csv")
    pd.testing.assert_frame_equal(after[:2], before)
    assert list(after["epoch"]) == [0, 1, 2, 3]
    assert after["learning_rate"][2] > before["learning_rate"][1]
    assert "continues at 0.536 of its start, having come down to 0.000" in " ".join(caplog.text.split())  # 0.5**0.9
    record = record_of(short_run)
    assert (record["status"], record["extended_from_epochs"], record["extended_at_step"]) == ("finished", 2, 8)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trainer.max_epochs=2"], "must be above 2, the epochs that this run has had"),
        ([], "trainer.max_epochs is missing"),
        (["trainer.max_epochs=4", "seed=3"], "keeps the settings"),
    ],
)
def test_an_extension_that_is_none_is_refused(
    words: list[str], hint: str, short_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", f"extend={short_run}", *words]) == 2
    assert hint in " ".join(capsys.readouterr().err.split())
    assert record_of(short_run)["status"] == "finished"


def test_a_run_that_has_not_finished_is_resumed_not_extended(
    short_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (short_run / "run.json").write_text(json.dumps(record_of(short_run) | {"status": "interrupted"}))
    assert main(["train", f"extend={short_run}", "trainer.max_epochs=4"]) == 2
    assert "Continue it with resume=" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_run_ended_by_patience_stays_ended_until_it_is_extended(plain_settings: list[str], tmp_path: Path) -> None:
    """At a rate of 0 no epoch is better than the first: one epoch more than the patience is trained, each time."""
    run = tmp_path / "run"
    still = [word for word in plain_settings if "factory.lr" not in word and "max_epochs" not in word]
    words = [*still, "optimizer.factory.lr=0", "model.network.norm=instance", "trainer.patience=2"]
    assert main(["train", *words, "trainer.max_epochs=9", f"hydra.run.dir={run}"]) == 0
    assert len(pd.read_csv(run / "metrics.csv")) == 3
    assert main(["train", f"resume={run}"]) == 0
    assert len(pd.read_csv(run / "metrics.csv")) == 3
    assert main(["train", f"extend={run}", "trainer.max_epochs=10"]) == 0
    assert len(pd.read_csv(run / "metrics.csv")) == 5
