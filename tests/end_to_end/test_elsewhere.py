"""A run continues with its data in another place, and not on other data."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from scans import write_msd_task

from aunet.commands.main import main
from tests.end_to_end.test_resume import stop_at_step

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def stopped(attention_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at_step(patch, 3)
        assert main(["train", *attention_settings, "logger=csv", f"hydra.run.dir={folder}"]) == 130
    return folder


def test_a_run_does_not_continue_on_other_data(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = shutil.copytree(finished_run, tmp_path / "stopped")
    record = json.loads((stopped / "run.json").read_text())
    (stopped / "run.json").write_text(json.dumps(record | {"status": "interrupted"}))
    others = write_msd_task(tmp_path / "others" / "Task99_Balls", num_cases=7)
    before = (stopped / "config.yaml").read_bytes()
    assert main(["train", f"resume={stopped}", f"data.root={others}"]) == 2
    assert f"data.root={others}: its files have changed since this run began" in capsys.readouterr().err
    assert (stopped / "config.yaml").read_bytes() == before


@pytest.mark.slow
def test_a_run_continues_with_its_data_in_another_place(
    stopped: Path, task_folder: Path, finished_run: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(task_folder, tmp_path / "another, é place")
    words = [f"data.root={moved}", f"data.cache={tmp_path / 'cache'}", "data.num_workers=0", "logger=csv"]
    assert main(["train", f"resume={stopped}", *words]) == 0

    assert json.loads((stopped / "run.json").read_text())["status"] == "finished"
    for name in ("metrics.csv", "test/case_scores.csv"):
        assert (stopped / name).read_bytes() == (finished_run / name).read_bytes(), name
    settings = yaml.safe_load((stopped / "config.yaml").read_text(encoding="utf-8"))
    assert settings["data"]["root"] == settings["data"]["source"]["root"] == str(moved)
