"""`aunet predict` from the words of the command line to the files on disk."""

import errno
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import nibabel
import numpy as np
import pytest
import torch

import aunet.build.model
from aunet.classes import Labels
from aunet.commands.main import main
from aunet.commands.predict import split_inference
from aunet.data.io.volume import read_label
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.export import label_formats
from aunet.inference.output_format import OutputFormat
from aunet.inference.prediction import Prediction
from aunet.inference.predictor import Predictor
from aunet.inference.training_range import TrainingRange
from aunet.inference.window_layout import Window
from aunet.pipeline import prediction_manifest
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


def test_a_dataset_without_label_maps_is_sent_to_its_folder_of_scans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii"}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert predict("data=nnunet", f"data.root={tmp_path}", "--output", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert f"data.root={tmp_path}: has no imagesTr" in told
    assert "scans without label maps are given by their folder: aunet predict RUN FOLDER" in told


def test_a_mistyped_setting_of_a_dataset_is_named_without_a_word_on_label_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("data=nnunet", f"data.rot={tmp_path}", "--output", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert "Did you mean data.root?" in told
    assert "label maps" not in told


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


def test_settings_and_scans_may_follow_the_options(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted(scans.iterdir())[:2]
    assert predict(first, "--output", tmp_path / "out", second, "inference.overlap=0.25") == 0
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {first.name, second.name}
    assert predict(first, "--output", tmp_path / "other", "--overlays") == 2
    assert "unrecognized arguments: --overlays" in capsys.readouterr().err
    assert main(["runs", str(tmp_path), "--sort", "name", "another"]) == 2


def test_a_prediction_without_a_scan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict("inference.overlap=0.25", "--output", tmp_path / "out") == 2
    assert "inference.overlap=0.25: no scan is given" in capsys.readouterr().err


def manifest_of(folder: Path) -> dict[str, dict[str, dict[str, object]]]:
    return json.loads((folder / "predictions.json").read_text())


def test_the_manifest_holds_volumes_times_and_errors_of_every_scan(scans: Path, tmp_path: Path) -> None:
    (scans / "oblique.nii.gz").write_bytes(b"no scan")
    assert predict(scans, "--output", tmp_path / "out") == 2
    manifest = manifest_of(tmp_path / "out")
    assert manifest["class_names"] == ["background", "bright"]
    assert set(manifest["scans"]) == set(GEOMETRIES)
    failed = manifest["scans"].pop("oblique")
    assert "oblique.nii.gz" in str(failed["error"])
    assert failed["label_map"] is None
    for name, entry in manifest["scans"].items():
        label = nibabel.load(tmp_path / "out" / str(entry["label_map"]))
        voxel_ml = abs(np.linalg.det(label.affine[:3, :3])) / 1000
        assert entry["volumes_ml"] == {"bright": pytest.approx(np.asarray(label.dataobj).sum() * voxel_ml, rel=1e-3)}
        assert set(entry["seconds"]) == {"read", "predict", "write"}
        assert entry["scan"] == [str(scans / f"{name}.nii.gz")]


def test_an_interrupted_folder_is_continued_and_damaged_maps_are_made_again(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out"
    assert predict(scans, "--output", output) == 0
    first, second, *others = sorted(output.glob("*.nii.gz"))
    whole = {path: path.read_bytes() for path in (first, second)}
    first.unlink()
    second.write_bytes(whole[second][:200])
    kept = {path: path.stat().st_mtime_ns for path in others}
    assert predict(scans, "--output", output, "--skip-existing") == 0
    assert {path: read_label(path).array.tolist() for path in whole} == {
        path: read_label(path).array.tolist() for path in (first, second)
    }
    assert first.read_bytes() == whole[first]
    assert second.read_bytes() == whole[second]
    assert {path: path.stat().st_mtime_ns for path in others} == kept
    assert set(manifest_of(output)["scans"]) == set(GEOMETRIES)
    assert f"{second}" in caplog.text
    assert predict(scans, "--output", output, "--skip-existing", "--overlay") == 0
    assert len(list((output / "overlays").glob("*.png"))) == len(GEOMETRIES)


def test_label_maps_of_another_run_are_not_continued(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert predict(scans / "oblique.nii.gz", "--output", output) == 0
    manifest = manifest_of(output)
    (output / "predictions.json").write_text(json.dumps(manifest | {"class_names": ["background", "dark"]}))
    assert predict(scans, "--output", output, "--skip-existing") == 2
    assert "would mix label maps: those there were made with dark, now it is bright" in capsys.readouterr().err


def test_volumes_and_pictures_lie_beside_the_label_maps(scans: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    words = ["--probabilities", "--uncertainty", "--overlay", "--format", "mha"]
    assert predict(scans / "oblique.nii.gz", "--output", output, *words) == 0
    found = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert found == {
        ".predict.lock",
        ".predictions.lock",
        "oblique.mha",
        "class_names.json",
        "predictions.json",
        "probabilities/oblique/00_background.mha",
        "probabilities/oblique/01_bright.mha",
        "uncertainty/oblique/entropy.mha",
        "uncertainty/oblique/mutual_information.mha",
        "overlays/oblique.png",
    }
    label = read_label(output / "oblique.mha")
    bright = itk_array(output / "probabilities" / "oblique" / "01_bright.mha")
    assert np.array_equal(bright > 0.5, label.array == 1)


def itk_array(path: Path) -> np.ndarray:
    import SimpleITK

    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).transpose(2, 1, 0)


def test_a_list_of_scans_is_read_from_standard_input(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = sorted(scans.iterdir())
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\ufeff{first}\r\n \r\n{second} \r\n"))
    assert predict("-", "--output", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {first.name, second.name}
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert predict("-", "--output", tmp_path / "none") == 2
    assert "standard input holds no path" in capsys.readouterr().err


def test_names_of_any_encoding_are_read_from_standard_input(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(os.fsencode(scans) + b"/Gr\xf6\xdfe.nii.gz")
    (scans / "oblique.nii.gz").rename(odd)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(os.fsencode(odd)), encoding="utf-8"))
    assert predict("-", "--output", tmp_path / "out") == 0
    assert os.listdir(os.fsencode(tmp_path / "out")).count(b"Gr\xf6\xdfe.nii.gz") == 1  # noqa: PTH208, of bytes


def test_a_full_disk_ends_the_prediction_with_one_message_and_keeps_what_is_finished(
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    written: list[Path] = []

    def write(path: Path, prediction: Prediction, scan: object) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        prediction.write(path)

    monkeypatch.setitem(label_formats.LABEL_FORMATS, "nii.gz", OutputFormat(".nii.gz", write))
    assert predict(scans, "--output", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert f"{tmp_path / 'out'}: the disk is full; 2 label maps were finished and stay" in message
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert sorted((tmp_path / "out").glob("*.nii.gz")) == sorted(written)


def test_memory_that_torch_or_numpy_lacks_is_reported_in_one_line_with_settings_that_need_less(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for allocate in (torch.empty, np.empty):

        def forward(self: Threshold, image: torch.Tensor, allocate: Callable[[int], object] = allocate) -> object:
            return allocate(2**50)

        monkeypatch.setattr(Threshold, "forward", forward)
        caplog.clear()
        assert predict(sorted(scans.iterdir())[0], "--output", tmp_path / "out") == 2
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "not enough memory on cpu. Set inference.inferer=tiled with a small" in record.getMessage()
        assert record.exc_info is None


def test_a_label_map_whose_entry_finds_the_disk_full_is_removed_so_that_all_that_stay_are_recorded(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = prediction_manifest.write_json

    def write_two_entries(path: Path, content: Mapping[str, object]) -> None:
        if len(cast(dict[str, object], content["scans"])) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(prediction_manifest, "write_json", write_two_entries)
    assert predict(scans, "--output", tmp_path / "out") == 2
    assert "the disk is full; 2 label maps were finished and stay" in capsys.readouterr().err
    recorded = json.loads((tmp_path / "out" / "predictions.json").read_text())["scans"]
    label_maps = {path.name for path in (tmp_path / "out").glob("*.nii.gz")}
    assert label_maps == {entry["label_map"] for entry in recorded.values()}
    assert len(label_maps) == 2


def test_a_missing_file_among_the_scans_does_not_stop_the_others(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    missing = tmp_path / "missing.nii.gz"
    assert predict(missing, scans / "oblique.nii.gz", "--output", tmp_path / "out") == 2
    assert f"{missing}: no such file or folder" in caplog.text
    assert "1 of 2 scans could not be predicted" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["oblique.nii.gz"]
    recorded = json.loads((tmp_path / "out" / "predictions.json").read_text())["scans"]
    assert "no such file" in recorded["missing"]["error"]


def test_a_label_map_that_cannot_be_written_is_reported_with_its_scan_and_the_others_are_done(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(path: Path, prediction: Prediction, scan: object) -> None:
        if path.name == "oblique.nii.gz":
            raise UserError(f"{path}: cannot be written (try another).")
        prediction.write(path)

    monkeypatch.setitem(label_formats.LABEL_FORMATS, "nii.gz", OutputFormat(".nii.gz", write))
    assert predict(scans, "--output", tmp_path / "out") == 2
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == len(GEOMETRIES) - 1
    assert str(manifest_of(tmp_path / "out")["scans"]["oblique"]["error"]).endswith("(try another).")
    assert "cannot be written" in caplog.text


def test_an_unknown_format_and_a_picture_of_a_volume_are_refused(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(scans, "--output", tmp_path / "out", "--format", "nifti") == 2
    assert "--format nifti: not one of nii.gz, nii, nrrd, mha, png, dicom-seg" in capsys.readouterr().err
    assert predict(scans, "--output", tmp_path / "out", "--format", "png") == 2
    assert "is a volume, and a png is a picture" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_scan_beyond_the_range_of_the_training_is_reported_with_both_values(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"training_range": {"spacing_mm": [[0.1, 9], [0.1, 9], [7, 8]]}}
    monkeypatch.setattr(
        Predictor, "warn_if_unusual", lambda _, scan: TrainingRange.of_record(record, ["ct"]).warn(scan)
    )
    path = scans / "oblique.nii.gz"
    spacing = np.linalg.norm(nibabel.load(path).affine[:3, :3], axis=0)
    order = np.argsort(nibabel.io_orientation(nibabel.load(path).affine)[:, 0])
    assert predict(path, "--output", tmp_path / "out") == 0
    [warning] = manifest_of(tmp_path / "out")["scans"]["oblique"]["warnings"]  # type: ignore[misc]
    assert f"the spacing of its voxels is {spacing[order][2]:.3g} mm feet-head (training: 7 to 8 mm)" in warning
