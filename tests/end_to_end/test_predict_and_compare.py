"""The commands that take finished runs."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from aunet import load_run
from aunet.commands.main import main


def test_predicted_label_maps_have_the_shape_and_affine_of_their_scans(
    finished_run: Path, task_folder: Path, tmp_path: Path
) -> None:
    assert main(["predict", str(finished_run), str(task_folder / "imagesTs"), "--output", str(tmp_path)]) == 0
    scan, label = nibabel.load(task_folder / "imagesTs" / "ball_100.nii.gz"), nibabel.load(tmp_path / "ball_100.nii.gz")
    assert label.shape == scan.shape
    np.testing.assert_allclose(label.affine, scan.affine)


def test_the_test_predictions_are_what_load_run_predicts(finished_run: Path, task_folder: Path) -> None:
    path = next((finished_run / "test" / "predictions").glob("*.nii.gz"))
    prediction = load_run(finished_run).predict(task_folder / "imagesTr" / path.name)
    assert np.array_equal(prediction.label, np.asarray(nibabel.load(path).dataobj))


def test_evaluating_the_test_predictions_gives_the_runs_own_scores(
    finished_run: Path, task_folder: Path, tmp_path: Path
) -> None:
    predictions, references = finished_run / "test" / "predictions", tmp_path / "references"
    references.mkdir()
    for path in predictions.glob("*.nii.gz"):
        (references / path.name).write_bytes((task_folder / "labelsTr" / path.name).read_bytes())
    words = ["evaluate", str(predictions), str(references), "--classes", "ball=1", "box=2"]
    assert main([*words, "--output", str(tmp_path / "scores")]) == 0
    ours = pd.read_csv(finished_run / "test" / "case_scores.csv").sort_values(["case_id", "class"], ignore_index=True)
    theirs = pd.read_csv(tmp_path / "scores" / "case_scores.csv").sort_values(["case_id", "class"], ignore_index=True)
    assert theirs["patient"].isna().all()  # folders do not say whose the scans are
    pd.testing.assert_frame_equal(ours.drop(columns="patient"), theirs.drop(columns="patient"))


@pytest.mark.slow
def test_a_sweep_makes_runs_that_compare_to_the_papers_table(
    small_settings: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    words = ["model=unet,monai_unet", *small_settings, "model.network.channels=[4,8,8,8,8]", "trainer.max_epochs=1"]
    assert main(["train", "-m", *words, "logger=csv", f"hydra.sweep.dir={sweep}"]) == 0
    runs = [str(sweep / name) for name in ("model=unet", "model=monai_unet")]
    assert f"aunet compare {' '.join(runs)}" in capfd.readouterr().out

    assert main(["compare", *runs, "--output", str(tmp_path / "table")]) == 0

    printed = capfd.readouterr().out
    assert "monai_unet" in printed
    assert "sign-flip permutation test" in printed
    for name in ("comparison.md", "comparison.csv", "paired_differences.csv"):
        assert (tmp_path / "table" / name).is_file()
