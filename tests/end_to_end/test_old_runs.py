"""Runs made at f8e6fcc still load, predict and compare (see tests/fixtures/old_run/README.md)."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scans import write_nifti

from aunet import load_run
from aunet.commands.main import main
from aunet.data.sources.phantom.cohort import draw_phantom
from aunet.metrics.case_scores import read_case_scores


@pytest.fixture(scope="module")
def old_runs(repository: Path) -> tuple[str, str]:
    """Return a U-Net, and an attention network with another loss, half the epochs and half the training cases."""
    folder = repository / "tests" / "fixtures" / "old_run"
    return str(folder / "unet"), str(folder / "attention_half")


def test_an_old_run_predicts_as_it_did(old_runs: tuple[str, str], tmp_path: Path) -> None:
    phantom = draw_phantom(0, 0, (8.0, 8.0, 8.0))
    scan = write_nifti(tmp_path / "phantom_0000.nii.gz", phantom.image, phantom.affine)

    for run in old_runs:
        predicted = load_run(run, "cpu").predict(scan).label == 3
        recorded = read_case_scores(Path(run) / "test" / "case_scores.csv").set_index(["case_id", "class"])
        kidney = phantom.label == 3
        dice = 2 * np.count_nonzero(predicted & kidney) / (predicted.sum() + kidney.sum())
        assert dice == pytest.approx(recorded.loc[("phantom_0000", "kidney"), "dice"], abs=0.005)


def test_old_runs_that_differ_in_more_than_the_model_are_refused(
    old_runs: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *old_runs, "--output", str(tmp_path / "table")]) == 2

    message = " ".join(capsys.readouterr().err.split())
    assert re.search(r"loss \(loss\.name[^)]*\): dice_ce against dice", message)
    assert re.search(r"epochs \(trainer\.max_epochs[^)]*\): 12 against 6", message)
    assert "training cases: 8 (4 not in all: phantom_0003, phantom_0005 and 2 more) against 4" in message
    assert not (tmp_path / "table").exists()


@pytest.mark.usefixtures("without_pictures")
def test_old_runs_are_compared_by_what_they_recorded(
    old_runs: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *old_runs, "--allow-differences", "--output", str(tmp_path)]) == 0

    printed = " ".join(capsys.readouterr().out.split())
    assert "NOT ONLY THE MODEL DIFFERS: loss, epochs, training cases" in printed
    assert "Voxel ASSD, penalised (mm) all – not recorded not recorded" in printed
    assert "Patients are not recorded; each case counts as one." in printed
    rows = pd.read_csv(tmp_path / "comparison.csv").set_index(["run", "metric", "form", "class"])
    of_kidney = rows.loc[("unet", "dice", "common cases", "kidney")]
    assert of_kidney["mean"] == pytest.approx(0.5237, abs=1e-4)
    assert (rows.loc[("unet", "dice", "common cases", "spleen")]["detected"]) == 1
