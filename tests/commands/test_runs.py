"""`aunet runs` shows the state of every run below a folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from aunet.commands.main import main


def write_run(folder: Path, **facts: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "config.yaml").write_text("trainer: {max_epochs: 9}")
    return folder


def rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    assert main(["runs", str(folder)]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_runs_are_listed_with_status_data_model_epochs_and_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = {"a": {"dice": {"mean": 0.5, "count": 2}}, "b": {"dice": {"mean": 0.75, "count": 2}}}
    record = {"status": "finished", "data": "ct150", "is_phantom": True, "model": "unet", "scores": dice}
    new = write_run(tmp_path / "ct150" / "new", **record, started="2020-01-02T00:00:00+00:00")
    (new / "metrics.csv").write_text("epoch,val/dice\n0,0.25\n1,0.125\n")
    write_run(tmp_path / "old", status="running", data="msd", model="attention", started="2020-01-01T00:00:00+00:00")
    printed = rows(tmp_path, capsys)
    found = {row[0]: row[1:] for row in printed if row and row[0] in ("old", "ct150/new")}
    assert list(found) == ["old", "ct150/new"]
    assert found["ct150/new"][:7] == ["finished", "ct150", "(PHANTOM)", "unet", "2/9", "0.250", "0.625"]
    assert found["old"][:3] == ["died", "msd", "attention"]
    text = " ".join(" ".join(row) for row in printed)
    assert "(PHANTOM)" in text
    assert "PHANTOM data" in text
    assert "ended without a message" in text


def test_a_death_on_another_machine_is_a_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "far", status="running")
    (run / "run.lock").write_text(json.dumps({"host": "elsewhere", "process": 1}))
    assert ["far", "died?", "on", "elsewhere"] in [row[:4] for row in rows(tmp_path, capsys)]


def test_folders_inside_a_run_are_not_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", status="finished")
    write_run(run / "wandb" / "files", status="finished")
    assert not [row for row in rows(tmp_path, capsys) if row and row[0].startswith("run/")]


def test_a_folder_without_runs_and_one_that_is_not_there_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "No run in" in " ".join(map(" ".join, rows(tmp_path, capsys)))
    assert main(["runs", str(tmp_path / "nowhere")]) == 2


def test_the_runs_are_listed_as_json_for_scripts(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = repository / "tests" / "fixtures" / "old_run"
    assert main(["runs", str(folder), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {run["folder"] for run in listed} == {str(folder / "unet"), str(folder / "attention_half")}
    assert {run["status"] for run in listed} == {"finished"}
    assert {run["epochs"] for run in listed} == {12, 6}
