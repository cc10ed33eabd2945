"""The metric that docs/extend_metric.md adds is scored, written and shown."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from tests.docs.pages import blocks_of

END = "\n)\nMETRIC_OF"


@pytest.fixture
def package(repository: Path, tmp_path: Path) -> Path:
    """Return a folder with a copy of the package, whose registry has the record that the page shows."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(repository / "aunet", tmp_path / "aunet", ignore=ignored)
    [excerpt] = [block.text for block in blocks_of(repository / "docs" / "extend_metric.md") if block.is_excerpt]
    record = excerpt.partition("\n")[2].rstrip()
    registry = tmp_path / "aunet" / "metrics" / "registry.py"
    text = registry.read_text(encoding="utf-8")
    assert text.count(END) == 1
    registry.write_text(text.replace(END, f"\n{record}{END}"), encoding="utf-8")
    return tmp_path


def test_a_metric_of_ones_own_is_one_record(package: Path) -> None:
    reference = np.zeros((8, 8, 8), np.uint8)
    reference[2:6, 2:6, 2:6] = 1
    prediction = reference.copy()
    prediction[2] = 0  # 16 voxels of 2 x 2 x 5 mm
    for name, label in (("predictions", prediction), ("references", reference)):
        (package / name).mkdir()
        nibabel.Nifti1Image(label, np.diag([2.0, 2.0, 5.0, 1.0])).to_filename(package / name / "a.nii.gz")
    words = ["evaluate", "predictions", "references", "--output", "scores", "--classes", "spleen=1"]
    process = subprocess.run(
        [sys.executable, "-m", "aunet.commands.main", *words],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package), "COLUMNS": "150"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert pd.read_csv(package / "scores" / "case_scores.csv")["missed_ml"].tolist() == [pytest.approx(0.32)]
    assert "Missed (ml)" in process.stdout
    assert "Missed: volume of the reference outside the prediction." in " ".join(process.stdout.split())
