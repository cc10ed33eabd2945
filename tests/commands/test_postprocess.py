"""`aunet postprocess` takes finished runs."""

import shutil
from pathlib import Path

import pytest

from aunet.commands.main import main
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
