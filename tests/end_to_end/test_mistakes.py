"""A user's mistake ends in one message and status 2, without a traceback."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scans import write_folder_pair

from aunet.commands.main import main

pytestmark = pytest.mark.usefixtures("without_pictures")

SMALL = ["model.network.channels=[4,8,8]", "data.patch_size=[16,16,16]", "trainer=smoke", "logger=csv"]


def message_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["train", *words]) == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    return " ".join(errors.split())


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["modle=attention"], "model"),
        (["model=atention"], "attention"),
        (["trainer.max_epoch=3"], "max_epochs"),
        (["trainer.max_epochs=fast"], "max_epochs"),
        (["trainer.max_epochs=-1"], "max_epochs"),
        (["model.network._target_=os.system"], "os.system"),
        (["--fast"], "--fast"),
        (["--jobs", "2"], "Add -m"),
        (["-m", "jobs=2", "seed=0,1"], "--jobs 2"),
        (["-m", "--jobs", "0", "seed=0,1"], "--jobs 0"),
        (["-m", "hydra/launcher=joblib", "seed=0,1"], "submitit_slurm"),
        (["resume=nowhere"], "nowhere"),
        (["data=msd"], "data.root"),
        (["data=msd", "data.root=nowhere"], "nowhere"),
        (["data.root=nowhere"], "nowhere"),
    ],
)
def test_a_wrong_word_is_named_with_the_remedy(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hint in message_of(words, capsys)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    return write_folder_pair(tmp_path / "scans")


def train_on(scans: Path) -> list[str]:
    labels = "data.classes={ball: 1, box: 2}"
    cache, folder = f"data.cache={scans.parent}/cache", f"hydra.run.dir={scans.parent}/run"
    return ["model=unet", f"data.root={scans}", labels, cache, folder, *SMALL]


def test_a_folder_of_scans_trains(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *train_on(scans)]) == 0
    assert "4 CT scans" in " ".join(capsys.readouterr().err.split())


def test_a_missing_label_is_named(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scans / "labels" / "case_1.nii.gz").unlink()
    assert "case_1 has no label map" in message_of(train_on(scans), capsys)


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_truncated_file_is_named(scans: Path, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (scans / part).iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = message_of(train_on(scans), capsys)
    assert f"scans/{part}/case_" in message
    assert "truncated" in message


def test_a_patch_that_the_network_cannot_take_is_refused_with_one_that_fits(
    scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = message_of([*train_on(scans), "data.patch_size=[18,16,16]"], capsys)
    assert "data.patch_size=[20, 16, 16]" in message


def test_a_patch_beyond_the_memory_is_refused_before_anything_is_prepared(
    scans: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aunet.training.memory_check.available_memory_bytes", lambda: 20_000_000)
    monkeypatch.setattr("aunet.training.memory_check.free_swap_bytes", lambda: 0)
    words = [*train_on(scans), "trainer.accelerator=cpu", "data.patch_size=[160,160,96]"]
    message = message_of(words, capsys)
    assert "data.patch_size=[160, 160, 96] with data.batch_size=" in message
    assert "20.0 MB are available" in message
    assert not (scans.parent / "run").exists()


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("data.patch_size=[16,16]", "must hold 3 numbers"),
        ("data.spacing=[2]", "must hold 3 numbers"),
        ("data.window=[1]", "must hold 2 numbers"),
        ("data.window=[240,-160]", "must be below"),
        ("trainer.accelerator=mps", "take auto or cpu"),
        ("trainer.accelerator=tpux", "one of auto"),
    ],
)
def test_numbers_and_hardware_that_cannot_be_are_refused(
    scans: Path, word: str, hint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert hint in message_of([*train_on(scans), word], capsys)


def test_a_run_whose_data_changed_does_not_resume(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *train_on(scans)]) == 0
    record = scans.parent / "run" / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"status": "interrupted"}))
    label = nibabel.load(scans / "labels" / "case_1.nii.gz")
    nibabel.Nifti1Image(np.flip(label.get_fdata(), 0).astype(np.uint8), label.affine).to_filename(label.get_filename())
    capsys.readouterr()
    assert "have changed since" in message_of([f"resume={scans.parent}/run"], capsys)


def test_a_mistake_found_before_the_start_leaves_no_run(attention_settings: list[str], tmp_path: Path) -> None:
    words = [*attention_settings, f"init={tmp_path}/nowhere.pt", f"hydra.run.dir={tmp_path}/run"]
    assert main(["train", *words]) == 2
    assert not (tmp_path / "run" / "run.json").exists()
