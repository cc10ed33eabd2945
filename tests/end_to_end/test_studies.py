"""Studies of conf/experiment as miniatures on phantoms: they end with their comparison."""

from pathlib import Path

import pandas as pd
import pytest

from aunet.commands.main import main
from aunet.runs.run_folder import RunFolder

MINIATURE = (
    "data.spacing=[12,12,12]",
    "data.phantom.spacing=[12,12,12]",
    "data.patch_size=[16,16,16]",
    "data.batch_size=2",
    "data.batches_per_epoch=2",
    "data.max_epochs=1",
    "model.network.channels=[4,8]",
    "trainer.precision=float32",
    "logger=csv",
    "seed=0",
)


def run_study(folder: Path, *words: str) -> pd.DataFrame:
    """Run a study of two networks and return the rows of its effects."""
    place = [f"hydra.sweep.dir={folder}/study", f"data.cache={folder}/cache"]
    assert main(["train", "-m", *MINIATURE, *words, *place]) == 0
    return pd.read_csv(folder / "study" / "comparison" / "effects.csv")


@pytest.mark.slow
@pytest.mark.parametrize("split", ["paper_120_30", "paper_30_120"])
def test_the_papers_table_1_runs_as_a_miniature(tmp_path: Path, split: str) -> None:
    sizes = {"paper_120_30": (5, 2), "paper_30_120": (3, 4)}[split]
    words = (f"data/split={split}", "data.source.num_phantoms=7")
    sized = (f"data.split.train={sizes[0]}", f"data.split.test={sizes[1]}", "model=unet,unet_6m")

    rows = run_study(tmp_path, "experiment=paper_ct150_table1", *words, *sized)

    assert set(rows["patients"]) <= {0, *range(1, sizes[1] + 1)}
    assert (tmp_path / "study" / "comparison" / "report.html").is_file()


@pytest.mark.slow
def test_the_study_of_another_scanner_is_tested_on_the_other_phantoms_alone(tmp_path: Path) -> None:
    other = ["data=ct150", "data.source.num_phantoms=3", "data.source.phantom_seed=9", f"data.cache={tmp_path}/cache"]
    told = ",".join(f'"{word}"' for word in [*other, "data.phantom.spacing=[12,12,12]"])
    words = ("data=ct150", "data.source.num_phantoms=6", f"data.test_on=[{told}]", "model=unet,unet_6m")

    run_study(tmp_path, "experiment=other_scanner", *words)

    for folder in (tmp_path / "study").glob("model=*"):
        run = RunFolder(folder)
        assert run.case_scores is not None
        tested = set(run.case_scores["case_id"])
        assert len(tested) == 3
        assert all(case_id.startswith("ct150-") for case_id in tested)
        assert any("tested on another dataset" in caveat for caveat in run.caveats)
    assert "tested on another dataset" in (tmp_path / "study" / "comparison" / "comparison.md").read_text("utf-8")
