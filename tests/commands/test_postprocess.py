"""`aunet postprocess` takes finished runs."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from aunet.commands.main import main
from aunet.inference.chosen_postprocessing import ChosenStep
from aunet.runs.run_record import RunRecord


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [("interrupted", "interrupted"), ("failed", "failed"), ("pruned", "pruned"), ("running", "died")],
)
def test_a_run_that_may_still_train_is_refused(
    recorded: str, shown: str, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(repository / "tests" / "fixtures" / "old_run" / "unet", tmp_path / "run")
    RunRecord(run).update(status=recorded)
    assert main(["postprocess", str(run)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"aunet: {run}: this run is {shown}; ")
    assert f"aunet train resume={run}" in message
    assert not (run / "postprocessing.json").exists()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "No step raises the Dice, so predictions stay as they are. "),
        ([ChosenStep("largest_component", "spleen")], "1 step in "),
    ],
)
def test_the_last_line_says_whether_later_predictions_change(
    steps: list[ChosenStep],
    message: str,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = SimpleNamespace(cases=[], cohort=None, config=SimpleNamespace(data=SimpleNamespace(on_error="stop")))
    monkeypatch.setattr("aunet.pipeline.probed_run.read_probed_run", lambda *_: run)
    monkeypatch.setattr("aunet.build.model.load_run", lambda *_: None)
    monkeypatch.setattr("aunet.pipeline.choose_postprocessing.choose_postprocessing", lambda *_: steps)
    with caplog.at_level("INFO", "aunet"):
        assert main(["postprocess", str(repository / "tests" / "fixtures" / "old_run" / "unet")]) == 0
    assert caplog.messages[-1].startswith(message)
