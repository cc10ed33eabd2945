"""The real pictures train an epoch each through their presets."""

from pathlib import Path

import pandas as pd
import pytest

from aunet.commands.main import main

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize(("preset", "folder"), [("nuclei", "nuclei"), ("cardiac", "cardiac/train")])
def test_a_preset_trains_an_epoch(preset: str, folder: str, shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / folder
    if not root.is_dir():
        pytest.skip(f"needs {root}")
    words = [
        *(f"data={preset}", f"data.root={root}", f"data.cache={tmp_path}/cache", "data.batch_size=2"),
        *("data.split.test=0.05", "data.split.val=0.05"),
        *("model=attention", "model.network.channels=[4,8,16]", "model.network.gated_levels=[2]"),
        *("trainer=smoke", "trainer.max_epochs=1", "logger=csv", f"hydra.run.dir={tmp_path}/run"),
    ]
    assert main(["train", *words]) == 0
    scores = pd.read_csv(tmp_path / "run" / "test" / "case_scores.csv")
    assert (scores["reference_ml"] > 0).all()
    if preset == "cardiac":
        splits = pd.read_json(tmp_path / "run" / "splits.json", typ="series")
        patients = [{name.partition("-IM")[0] for name in splits[part]} for part in ("train", "val", "test")]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 30
