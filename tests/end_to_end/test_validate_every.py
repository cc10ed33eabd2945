"""trainer.validate_every: a Dice in every n-th epoch and in the last, a loss in each, the best among the validated."""

import csv
import json
from pathlib import Path

import pytest

from aunet.commands.main import main

pytestmark = pytest.mark.usefixtures("without_pictures")


def test_only_every_second_epoch_and_the_last_are_validated(
    small_settings: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    words = ["model=unet", "logger=csv", "trainer.validate_every=2", "trainer.freeze=[encoder.levels.0]"]
    words += ["loss.class_weights={box: 2}", f"hydra.run.dir={folder}"]
    assert main(["train", *small_settings, *words]) == 0  # of three epochs

    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["val/dice"] != "" for row in rows] == [False, True, True]
    assert all(float(row["train/loss"]) > 0 and float(row["learning_rate"]) > 0 for row in rows)
    assert json.loads((folder / "run.json").read_text())["best_epoch"] in (1, 2)
    assert sum("not validated" in message for message in caplog.messages) == 1
    assert main(["runs", str(tmp_path)]) == 0
