"""`aunet predict` from the words of the command line to the files on disk."""

import logging
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest

import aunet.build.model
from aunet.classes import Labels
from aunet.commands.main import main
from aunet.commands.predict import split_inference
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from tests.data.geometries import GEOMETRIES
from tests.inference.tiny_networks import Threshold


@pytest.fixture(autouse=True)
def trained_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any run folder holds a network that labels what is brighter than the mean."""

    def load_run(
        folder: Path, device: str | None, trusted_modules: Sequence[str], inference: dict[str, object]
    ) -> Predictor:
        preprocessing = Preprocessing(None, "mr", (0.0, 1.0))
        labels = Labels(("background", "bright"))
        return Predictor(Threshold(), preprocessing, labels, Window((16, 16, 16)), device=device or "cpu")

    monkeypatch.setattr(aunet.build.model, "load_run", load_run)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Write a scan in each geometry, named after it."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed, (name, affine) in enumerate(GEOMETRIES.items()):
        array = np.random.default_rng(seed).normal(100, 20, (12 + seed, 20, 9)).astype(np.float32)
        nibabel.Nifti1Image(array, affine).to_filename(folder / f"{name}.nii.gz")
    return folder


def predict(*words: str | Path) -> int:
    return main(["predict", "a-run", *map(str, words)])


def test_each_scan_gets_a_label_map_of_its_name_shape_and_affine(scans: Path, tmp_path: Path) -> None:
    assert predict(scans, "--output", tmp_path / "out", "--device", "cpu") == 0
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {f"{name}.nii.gz" for name in GEOMETRIES}
    for path in scans.iterdir():
        scan, label = nibabel.load(path), nibabel.load(tmp_path / "out" / path.name)
        image = scan.get_fdata()
        assert np.array_equal(label.affine, scan.affine)
        assert label.get_data_dtype() == np.uint8
        assert np.array_equal(np.asarray(label.dataobj), image > image.mean())


def test_a_bad_scan_is_reported_in_one_line_and_the_others_are_done(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    truncated = scans / "oblique.nii.gz"
    truncated.write_bytes(truncated.read_bytes()[:500])
    assert predict(scans, "--output", tmp_path / "out") == 2
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == len(GEOMETRIES) - 1
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "oblique.nii.gz" in errors[0]
    assert "Traceback" not in capsys.readouterr().err


def test_label_maps_are_replaced_only_when_asked(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, output = scans / "oblique.nii.gz", tmp_path / "out"
    assert predict(scan, "--output", output) == 0
    written = (output / "oblique.nii.gz").read_bytes()
    (output / "oblique.nii.gz").write_bytes(b"edited by hand")
    assert predict(scan, "--output", output) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (output / "oblique.nii.gz").read_bytes() == b"edited by hand"
    assert predict(scan, "--output", output, "--overwrite") == 0
    assert (output / "oblique.nii.gz").read_bytes() == written


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "tpu", "meta"])
def test_a_device_that_is_not_there_is_refused(
    scans: Path, tmp_path: Path, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(scans, "--output", tmp_path / "out", "--device", device) == 2
    assert f"--device {device}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_input_is_refused_before_the_run_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tmp_path / "nowhere", "--output", tmp_path / "out") == 2
    assert "nowhere: no such file" in capsys.readouterr().err


def test_settings_of_the_prediction_are_taken_out_of_the_inputs(tmp_path: Path) -> None:
    words = ["a.nii", "inference.overlap=0.25", "folder", "+inference.window_batch=4"]
    assert split_inference(words) == (["a.nii", "folder"], ["inference.overlap=0.25", "+inference.window_batch=4"])
    dataset = ["data=amos22", "data.root=/scans"]
    assert split_inference([*dataset, "inference.overlap=0"]) == (dataset, ["inference.overlap=0"])


@pytest.mark.parametrize("word", ["trainer.max_epochs=3", "model=unet", "inference=default", "scan=1.nii", "seed=1"])
def test_a_setting_of_something_else_is_refused(
    word: str, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(scans, word, "--output", tmp_path / "out") == 2
    assert f"{word}: there is no such file, and aunet predict takes only settings" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_prediction_without_a_scan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict("inference.overlap=0.25", "--output", tmp_path / "out") == 2
    assert "inference.overlap=0.25: no scan is given" in capsys.readouterr().err
