"""Studies of conf/experiment as miniatures on phantoms and made-up CT: they end with their comparison."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from pancreas_scans import write_pancreas_ct

from aunet.commands.main import main
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_state import read_run_state

MINIATURE = (
    "data.spacing=[12,12,12]",
    "data.patch_size=[16,16,16]",
    "data.batch_size=2",
    "data.batches_per_epoch=2",
    "data.max_epochs=1",
    "model.network.channels=[4,8]",
    "trainer.precision=float32",
    "logger=csv",
    "seed=0",
)
# Five levels, as the study of levels names four to gate.
DEEP = ("model.network.channels=[4,4,4,4,4]", "data.patch_size=[32,32,16]")
COARSE = "data.phantom.spacing=[12,12,12]"
PHANTOMS = ("data=ct150", "data.source.num_phantoms=6", COARSE)


def words_of_study(folder: Path, *words: str) -> list[str]:
    return ["train", "-m", *MINIATURE, *words, f"hydra.sweep.dir={folder}/study", f"data.cache={folder}/cache"]


def run_study(folder: Path, *words: str) -> pd.DataFrame:
    """Run a study and return the rows of its effects."""
    assert main(words_of_study(folder, *words)) == 0
    return pd.read_csv(folder / "study" / "comparison" / "effects.csv")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "axes", "others"),
    [
        ("few_cases", ("data.split.train=3,null", "model=unet,attention"), 3),
        ("gate_ablation", ("model/gate=additive,softmax,hard_score,open",), 3),
        ("levels_ablation", ("model.network.gated_levels=[2,3,4],[4],[1,2,3,4]",), 2),
        ("supervision", ("model=attention", "model/head=multiscale,single,deep_supervision"), 2),
    ],
)
def test_a_study_of_one_setting_runs_as_a_miniature(
    tmp_path: Path, study: str, axes: tuple[str, ...], others: int
) -> None:
    rows = run_study(tmp_path, *PHANTOMS, *DEEP, f"experiment={study}", *axes)

    folders = [RunFolder(path) for path in (tmp_path / "study").iterdir() if (path / "run.json").is_file()]
    assert rows["arm"].nunique() == others
    assert len(folders) == others + 1
    assert (tmp_path / "study" / "comparison" / "report.html").is_file()
    assert "missing" not in (tmp_path / "study" / "comparison" / "summary.txt").read_text("utf-8")


@pytest.mark.slow
def test_the_papers_table_2_runs_as_a_miniature_from_dicom(tmp_path: Path) -> None:
    root = write_pancreas_ct(tmp_path / "NIH Pancreas-CT", range(1, 8), flips={2: (1,)})
    sized = (f"data.root={root}", "data.split.train=5", "data.split.test=2", "model=unet,unet_6m")

    rows = run_study(tmp_path, "experiment=paper_ct82_table2", *sized)

    assert set(rows["class"]) == {"pancreas"}
    assert set(rows["patients"]) <= {0, 1, 2}


@pytest.mark.slow
def test_an_interrupted_study_keeps_what_is_finished_and_ends_with_its_comparison(tmp_path: Path) -> None:
    words = words_of_study(tmp_path, *PHANTOMS, *DEEP, "experiment=gate_or_not", "model=unet,attention,attention_open")
    process = subprocess.Popen([sys.executable, "-m", "aunet.commands.main", *words])
    first, second, third = (tmp_path / "study" / f"model={name}" for name in ("unet", "attention", "attention_open"))
    while not (second / "run.json").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert read_run_state(first).status == "finished"
    assert not (third / "run.json").exists()
    record = (first / "run.json").read_bytes()

    assert main(words) == 0

    assert (first / "run.json").read_bytes() == record
    assert {read_run_state(folder).status for folder in (second, third)} == {"finished"}
    rows = pd.read_csv(tmp_path / "study" / "comparison" / "effects.csv")
    assert set(rows["arm"]) == {"attention", "attention_open"}


@pytest.mark.slow
@pytest.mark.parametrize("split", ["paper_120_30", "paper_30_120"])
def test_the_papers_table_1_runs_as_a_miniature(tmp_path: Path, split: str) -> None:
    sizes = {"paper_120_30": (5, 2), "paper_30_120": (3, 4)}[split]
    words = (f"data/split={split}", "data.source.num_phantoms=7", COARSE)
    sized = (f"data.split.train={sizes[0]}", f"data.split.test={sizes[1]}", "model=unet,unet_6m")

    rows = run_study(tmp_path, "experiment=paper_ct150_table1", *words, *sized)

    assert set(rows["patients"]) <= {0, *range(1, sizes[1] + 1)}
    assert (tmp_path / "study" / "comparison" / "report.html").is_file()


@pytest.mark.slow
def test_the_study_of_another_scanner_is_tested_on_the_other_phantoms_alone(tmp_path: Path) -> None:
    other = ["data=ct150", "data.source.num_phantoms=3", "data.source.phantom_seed=9", f"data.cache={tmp_path}/cache"]
    told = ",".join(f'"{word}"' for word in [*other, COARSE])
    words = (*PHANTOMS, f"data.test_on=[{told}]", "model=unet,unet_6m")

    run_study(tmp_path, "experiment=other_scanner", *words)

    for folder in (tmp_path / "study").glob("model=*"):
        run = RunFolder(folder)
        assert run.case_scores is not None
        tested = set(run.case_scores["case_id"])
        assert len(tested) == 3
        assert all(case_id.startswith("ct150-") for case_id in tested)
        assert any("tested on another dataset" in caveat for caveat in run.caveats)
    assert "tested on another dataset" in (tmp_path / "study" / "comparison" / "comparison.md").read_text("utf-8")
