"""The line before the first step of a run: measured without a trace in what the run leaves."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from aunet.commands.main import main
from aunet.training.callbacks.forecast import ForecastLine
from tests.end_to_end.test_resume import stop_at_step

EQUAL_FILES = ("metrics.csv", "splits.json", "attention/statistics.csv", "test/case_scores.csv")


@pytest.fixture
def without_trials() -> None:
    """Measure, unlike in the tests of other files."""


def without_line(line: ForecastLine, *args: Any) -> None:
    """Measure nothing."""


def forecast_in(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [record.getMessage() for record in caplog.records if "matrix rate" in record.getMessage()]
    return line


@pytest.mark.usefixtures("without_pictures")
def test_a_run_with_the_measurement_is_the_one_without_bit_for_bit(
    finished_run: Path, attention_settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain"
    with monkeypatch.context() as patch:
        patch.setattr(ForecastLine, "on_train_start", without_line)
        assert main(["train", *attention_settings, "logger=csv", f"hydra.run.dir={plain}"]) == 0

    for name in EQUAL_FILES:
        assert (finished_run / name).read_bytes() == (plain / name).read_bytes(), name
    first, second = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (finished_run, plain))
    assert all(torch.equal(first["state_dict"][name], value) for name, value in second["state_dict"].items())
    moments, expected = (of["optimizer_states"][0]["state"] for of in (first, second))
    assert all(torch.equal(moments[key]["exp_avg_sq"], expected[key]["exp_avg_sq"]) for key in expected)
    assert "speed" not in json.loads((plain / "run.json").read_text())
    speed = json.loads((finished_run / "run.json").read_text())["speed"]
    assert set(speed) == {"steps_per_second", "matrix_rate_share"}
    assert all(value > 0 for value in speed.values())


@pytest.mark.slow
def test_a_resumed_run_states_the_end_of_its_rest(
    attention_settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of 3 epochs of 4 steps it stops in the sixth step, which it still makes: 6 steps and 2 validations are left."""
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at_step(patch, 5)
        assert main(["train", *attention_settings, "logger=csv", f"hydra.run.dir={folder}"]) == 130
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["train", "--info", f"resume={folder}"]) == 0
    assert "6 steps and 2 validations" in " ".join(capsys.readouterr().out.split())
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files

    caplog.clear()
    assert main(["train", f"resume={folder}"]) == 0
    line = forecast_in(caplog)
    assert re.search(
        r"float32, .*: [\d.]+ steps/s, \d+ % of this machine's matrix rate; 6 steps and 2 validations", line
    )
