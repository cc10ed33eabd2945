"""A run that is killed without warning goes on from its last checkpoint and ends as one never interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aunet.commands.main import main


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.5, 1.5])
def test_a_killed_run_ends_as_one_never_interrupted(
    delay: float, finished_run: Path, attention_settings: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    words = [*attention_settings, "logger=csv", f"hydra.run.dir={folder}"]
    process = subprocess.Popen([sys.executable, "-m", "aunet.commands.main", "train", *words])
    while not (folder / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    assert main(["train", f"resume={folder}"]) == 0

    for name in ("metrics.csv", "attention/statistics.csv", "test/case_scores.csv"):
        assert (folder / name).read_bytes() == (finished_run / name).read_bytes(), name
