"""A run whose dataset leaves a class un-annotated, from training to the comparison, and its scores on another one."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from blank_pictures import blank_pictures
from scans import write_totalsegmentator_cases

from aunet.commands.main import main
from aunet.metrics.case_scores import USUAL_METRICS, read_case_scores

PARTIAL = ["data.classes={ball: ball, cube: null}", "data.other_labels=background", "logger=csv"]


def train(settings: list[str], folder: Path, seed: int) -> Path:
    words = ["model=unet", *settings, *PARTIAL, "trainer.max_epochs=2", f"seed={seed}", f"hydra.run.dir={folder}"]
    with blank_pictures():
        assert main(["train", *words]) == 0
    return folder


@pytest.fixture(scope="module")
def partial_run(small_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small_settings, tmp_path_factory.mktemp("partial") / "run", seed=0)


def test_validation_leaves_the_class_undefined(partial_run: Path) -> None:
    with (partial_run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["val/dice/cube"] == "nan" for row in rows)
    assert all(row["val/dice"] == row["val/dice/ball"] != "nan" for row in rows)


def test_test_scores_leave_the_class_undefined(partial_run: Path) -> None:
    scores = read_case_scores(partial_run / "test" / "case_scores.csv").set_index("class")
    assert scores.loc[["cube"], [*USUAL_METRICS, "reference_ml"]].isna().all(axis=None)
    assert scores.loc[["ball"], "dice"].notna().all()
    summary = json.loads((partial_run / "test" / "summary.json").read_text())
    counts = {"count": 0, "undefined": len(scores.loc[["cube"]])}
    assert summary["cube"]["dice"] == {"mean": None, "sd": None, "penalised_mean": None, **counts}
    assert summary["cube"]["detection"] == {"present": 0, "detected": 0, "invented": 0}


@pytest.mark.slow
def test_such_runs_are_compared(partial_run: Path, small_settings: list[str], tmp_path: Path) -> None:
    other = train(small_settings, tmp_path / "run", seed=1)
    assert main(["compare", str(partial_run), str(other), "--output", str(tmp_path / "comparison")]) == 0


def test_a_run_is_scored_on_another_dataset_by_class_name(
    partial_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_totalsegmentator_cases(tmp_path / "other", num_cases=2)
    dataset = [
        "data=totalsegmentator",
        f"data.root={other}",
        "data.classes={kidney: [kidney_left, kidney_right], Ball: spleen}",
    ]
    assert main(["predict", str(partial_run), *dataset, "--output", str(tmp_path / "predictions")]) == 0
    words = ["evaluate", str(tmp_path / "predictions"), *dataset, "--output", str(tmp_path / "scores")]
    assert main(words) == 0
    scores = read_case_scores(tmp_path / "scores" / "case_scores.csv")
    assert list(zip(scores["case_id"], scores["class"], strict=True)) == [("s0000", "Ball"), ("s0001", "Ball")]
    assert np.isfinite(scores["dice"]).all()
    left_out = json.loads((tmp_path / "scores" / "summary.json").read_text())["left_out"]
    assert left_out == ["kidney is not among the predicted classes", "cube is not annotated by totalsegmentator"]
    assert "Left out: kidney is not among the predicted classes" in capsys.readouterr().out
