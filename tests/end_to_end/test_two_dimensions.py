"""A patch one voxel thick makes a 2D run: of single images, or of the slices of scans."""

from pathlib import Path

import pandas as pd
import pytest

from aunet.commands.main import main


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("model", ["attention", pytest.param("monai_unet", marks=pytest.mark.slow)])
def test_a_network_of_two_dimensions_trains_on_slices_of_scans(
    model: str, small_settings: list[str], tmp_path: Path
) -> None:
    words = [word for word in small_settings if not word.startswith(("data.patch_size", "model.network.channels"))]
    words += [f"model={model}", "data.patch_size=[16,16,1]", "trainer.max_epochs=1", "logger=csv"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/run"]) == 0
    scores = pd.read_csv(tmp_path / "run" / "test" / "case_scores.csv")
    assert scores["dice"].notna().any()
    assert (tmp_path / "run" / "attention" / "statistics.csv").exists() == (model == "attention")
