"""With data.on_error=skip faulty cases are reported and removed from the run's splits; the others train."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scans import write_msd_task, write_nifti

from aunet.commands.main import main

pytestmark = pytest.mark.usefixtures("without_pictures")

SMALL = ["model=unet", "data=msd", "data.patch_size=[16,16,16]", "model.network.channels=[4,8]"]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Twelve cases: a label missing, an image cut short, a label of another shape, one of unknown values."""
    root = write_msd_task(tmp_path / "task", num_cases=12)
    (root / "labelsTr" / "ball_000.nii.gz").unlink()
    image = root / "imagesTr" / "ball_001.nii.gz"
    image.write_bytes(image.read_bytes()[:20])
    write_nifti(root / "labelsTr" / "ball_002.nii.gz", np.zeros((3, 3, 3), np.uint8))
    write_nifti(root / "labelsTr" / "ball_003.nii.gz", np.full((20, 18, 16), 255, np.uint8))
    return root


def words(task: Path, *more: str) -> list[str]:
    folder = task.parent
    return ["train", *SMALL, f"data.root={task}", f"data.cache={folder}/cache", f"hydra.run.dir={folder}/run", *more]


def test_faulty_cases_are_reported_and_the_others_train(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["data.on_error=skip", "trainer=smoke", "data.split.val=0.3"]
    assert main(words(task, *more)) == 0
    errors = " ".join(capsys.readouterr().err.split())
    assert errors.count("data.on_error=skip:") == 4
    for number in range(4):
        assert f"ball_00{number}" in errors
    splits = json.loads((task.parent / "run" / "splits.json").read_text())
    assert not {"ball_000", "ball_001"} & {case_id for part in splits.values() for case_id in part}
    assert not {"ball_002", "ball_003"} & {*splits["train"], *splits["val"]}
    assert (task.parent / "run" / "report.html").is_file()


def test_without_it_the_first_faulty_case_stops(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(task)) == 2
    assert "labelsTr/ball_000.nii.gz is listed but not there" in " ".join(capsys.readouterr().err.split())


def test_nothing_left_is_refused(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (task / "labelsTr").iterdir():
        shutil.copy(task / "dataset.json", path)
    assert main(words(task, "data.on_error=skip")) == 2
    assert "None of the 11 cases can be used" in " ".join(capsys.readouterr().err.split())
