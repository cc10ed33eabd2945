"""The run of a newcomer: no data, so the phantom, which is called so wherever its results show."""

import json
from pathlib import Path

import pytest

from aunet.commands.main import main


@pytest.mark.usefixtures("without_pictures")
def test_a_run_without_a_root_trains_on_the_phantom_and_says_so_everywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["model=attention", "data=ct150", "logger=csv", "trainer=smoke", "trainer.max_epochs=1"]
    small = [
        "model.network.channels=[4,8,8]",
        "model.network.gated_levels=[2]",
        "data.phantom.spacing=[8,8,8]",
        "data.patch_size=[32,32,32]",
        "data.source.num_phantoms=6",
        f"data.cache={tmp_path}/cache",
    ]
    assert main(["train", *words, *small, f"hydra.run.dir={tmp_path}/run"]) == 0
    printed = capfd.readouterr()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["is_phantom"] is True
    assert record["class_names"] == ["background", "pancreas", "spleen", "kidney"]
    assert "PHANTOM" in printed.err
    assert "PHANTOM" in printed.out
    assert "phantom" in (tmp_path / "run" / "report.html").read_text().lower()
