"""`aunet predict` into a folder that holds files of earlier predictions."""

import json
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

import aunet
import aunet.build.model
from aunet.classes import Labels
from aunet.commands.main import main
from aunet.data.io.volume import Volume, read_label
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.export import label_formats
from aunet.inference.output_format import OutputFormat
from aunet.inference.prediction import Origin, Outputs, Prediction
from aunet.inference.predictor import Predictor
from aunet.inference.prepared_scan import PreparedScan
from aunet.inference.window_layout import Window
from aunet.pipeline import prediction_delivery
from aunet.pipeline.prediction_leftovers import cleared_of_leftovers
from aunet.pipeline.scan_predictions import _allocate  # pyright: ignore[reportPrivateUsage]
from tests.inference.tiny_networks import Pointwise


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Load any run folder with a pointwise network, whose weights bear the name of the folder."""

    def load_run(folder: Path, device: str | None, trusted_modules: object, inference: object) -> Predictor:
        checkpoint = tmp_path / f"{folder}.ckpt"
        checkpoint.write_text(str(folder))
        preprocessing, labels = Preprocessing(None, "mr", (0.0, 1.0)), Labels(("background", "bright"))
        origin = Origin(folder, checkpoint, {})
        return Predictor(Pointwise(), preprocessing, labels, Window((16, 16, 16)), origin=origin)

    monkeypatch.setattr(aunet.build.model, "load_run", load_run)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "scans" / "first.nii.gz")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "scans" / "second.nii.gz")


def write_scan(path: Path, side: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(0).normal(100, 20, (12, 20, 9)).astype(np.float32)
    nibabel.Nifti1Image(array, np.diag([side, side, side, 1])).to_filename(path)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def predict(run: str, *words: str | Path) -> int:
    return main(["predict", run, *map(str, words[:-1]), "--output", str(words[-1])])


def predicted(caplog: pytest.LogCaptureFixture) -> str:
    return [message for message in caplog.messages if "values in the label maps" in message][-1].partition(" ")[0]


def test_a_label_map_of_another_run_that_was_not_replaced_is_not_kept(
    first: Path, second: Path, output: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert predict("one", first, second, output) == 0
    prepare = Predictor.prepare

    def fail(self: Predictor, channels: list[Volume]) -> PreparedScan:
        if channels[0].path == second:
            raise MemoryError
        return prepare(self, channels)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "prepare", fail)
        assert predict("two", first, second, "--overwrite", output) == 2
    assert predict("two", first, second, "--skip-existing", output) == 0
    assert predicted(caplog) == "1"


def test_a_label_map_of_another_run_is_not_kept_after_a_further_scan(
    first: Path, second: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert predict("one", first, output) == 0
    assert predict("two", second, output) == 0
    assert predict("two", first, second, "--skip-existing", output) == 0
    assert predicted(caplog) == "1"


def test_a_further_scan_of_one_run_joins_the_record(first: Path, second: Path, output: Path) -> None:
    assert predict("one", first, output) == 0
    assert predict("one", second, output) == 0
    assert set(json.loads((output / "predictions.json").read_text())["scans"]) == {"first", "second"}


def test_a_label_map_without_a_record_is_kept_with_a_warning(
    first: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert predict("one", first, output) == 0
    (output / "predictions.json").unlink()
    for _ in range(2):
        assert predict("one", first, "--skip-existing", output) == 0
        assert predicted(caplog) == "0"
    assert caplog.text.count("which run made it is not recorded") == 1


def test_volumes_go_with_the_label_map_that_they_belong_to(first: Path, output: Path) -> None:
    words = ("--probabilities", "--uncertainty", "--attention", "--overlay")
    assert predict("one", first, *words, output) == 0
    assert predict("one", first, "--overwrite", output) == 0
    assert len(list(output.glob("*/first/*"))) == 2 + 2 + 4
    assert predict("two", first, "--overwrite", output) == 0
    assert not [*output.glob("*/first/*"), *output.glob("*/first.png")]


def test_a_scan_of_the_same_name_is_not_taken_for_the_first(
    first: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_scan(tmp_path / "others" / first.name)
    assert predict("one", first, output) == 0
    assert predict("one", other, "--skip-existing", output) == 2
    assert f"is the label map of {first}, not of {other}" in capsys.readouterr().err
    first.unlink()  # the scans have moved
    assert predict("one", other, "--skip-existing", output) == 0


def test_a_label_map_at_another_place_than_its_scan_is_made_again(first: Path, output: Path) -> None:
    assert predict("one", first, output) == 0
    write_scan(first, side=2.0)
    assert predict("one", first, "--skip-existing", output) == 0
    assert read_label(output / first.name).spacing == (2, 2, 2)


def test_coefficients_of_some_gates_do_not_count_as_all(
    first: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict("one", first, output) == 0
    write_volume, written = prediction_delivery.write_volume, list[Path]()

    def write(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_volume(path, array, affine)

    with monkeypatch.context() as patch:
        patch.setattr(prediction_delivery, "write_volume", write)
        assert predict("one", first, "--attention", "--skip-existing", output) == 130
    assert predict("one", first, "--attention", "--skip-existing", output) == 0
    assert len(list((output / "attention" / "first").iterdir())) == 4


def test_scans_that_differ_in_the_format_alone_would_share_further_files(
    first: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(first)), str(first.with_name("first.nrrd")))
    assert predict("one", first.parent, output) == 2
    assert "would both become first; predict them into two folders" in capsys.readouterr().err


def test_a_picture_is_not_replaced_by_its_overlay(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = output / "overlays" / "p.png"
    picture.parent.mkdir(parents=True)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(picture)
    before = picture.read_bytes()
    assert predict("one", picture, "--overlay", output) == 2
    assert "uses for its own files; give another --output folder" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_a_picture_is_refused_for_dicom_seg(tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "p.png"
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(picture)
    assert predict("one", picture, "--format", "dicom-seg", output) == 2
    assert f"--format dicom-seg: {picture} is not DICOM" in capsys.readouterr().err
    assert not output.exists()


def test_volumes_on_the_disk_reserve_all_of_their_room(tmp_path: Path) -> None:
    """A sparse file that is mapped ends the process with a bus error if the disk is full."""
    array = _allocate(tmp_path, (3, 512, 1024))
    [file] = tmp_path.iterdir()
    assert file.stat().st_blocks * 512 >= file.stat().st_size == array.nbytes


def leave_behind(output: Path) -> list[Path]:
    """Write what a prediction of ``first`` leaves that is killed while it writes."""
    files = [
        *(".0a1b2c3d-first.nii.gz", ".0a1b2c3d-volumes/ff00ff00", "overlays/.0a1b2c3d-first.png"),
        *("probabilities/first/.0a1b2c3d-01_bright.nii.gz", "attention/.0a1b2c3d-first/level_1.nii.gz"),
    ]
    for name in files:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(b"unfinished")
    return [output / name for name in files]


def test_what_a_killed_prediction_left_is_removed_by_the_next_one_and_nothing_else(first: Path, output: Path) -> None:
    left = leave_behind(output)
    kept = [output / name for name in (".0a1b2c3d-notes.txt", ".hidden-first.nii.gz", "attention/second/a-b.nii.gz")]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"of others")
    assert predict("one", first, "--overlay", output) == 0
    assert not any(path.exists() for path in (*left, left[1].parent, left[4].parent))
    assert all(path.exists() for path in (*kept, output / "first.nii.gz", output / "overlays" / "first.png"))


def test_files_of_a_prediction_that_still_runs_are_not_removed(second: Path, output: Path) -> None:
    with cleared_of_leftovers(output, []):
        left = leave_behind(output)
        assert predict("one", second, output) == 0
        assert all(path.exists() for path in left)


def test_predictions_into_one_folder_at_a_time_record_the_scans_of_all(
    first: Path, second: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second scan is predicted by another command while the first one is."""
    predict_prepared, others = Predictor.predict_prepared, [second]

    def meanwhile(self: Predictor, *words: object, **named: object) -> object:
        if others:
            assert predict("one", others.pop(), output) == 0
        return predict_prepared(self, *words, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "predict_prepared", meanwhile)
    assert predict("one", first, output) == 0
    assert set(json.loads((output / "predictions.json").read_text())["scans"]) == {"first", "second"}


def test_a_warning_while_a_label_map_is_written_is_in_the_record(
    first: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, prediction: Prediction, scan: object) -> None:
        logging.getLogger("aunet.export").warning("%s: a segment is empty", path.name)
        prediction.write(path)

    monkeypatch.setitem(label_formats.LABEL_FORMATS, "nii.gz", OutputFormat(".nii.gz", write))
    assert predict("one", first, output) == 0
    [entry] = json.loads((output / "predictions.json").read_text())["scans"].values()
    assert entry["warnings"] == ["first.nii.gz: a segment is empty"]


def test_python_predicts_a_folder_as_the_command_does(first: Path, second: Path, output: Path) -> None:
    outputs = Outputs(uncertainty=True)
    found = aunet.predict_run("one", str(first.parent), output, outputs, has_overlay=True, label_format="mha")
    assert found == [output / "first.mha", output / "second.mha"]
    words = ("--uncertainty", "--overlay", "--format", "mha")
    assert predict("one", first.parent, *words, output.with_name("command")) == 0
    by_python, by_command = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.suffix in (".mha", ".png")}
        for folder in (output, output.with_name("command"))
    )
    assert by_python == by_command
    assert len(by_python) == 8
    with pytest.raises(UserError, match="label maps are there already"):
        aunet.predict_run(["one"], [first, second], output, label_format="mha")
    found[0].unlink()
    aunet.predict_run("one", [first, second], output, label_format="mha", existing="skip")
    assert set(json.loads((output / "predictions.json").read_text())["scans"]) == {"first", "second"}
    second.write_bytes(b"damaged")
    with pytest.raises(UserError, match="1 of 2 scans could not be predicted"):
        aunet.predict_run("one", [first, second], output, label_format="mha", existing="overwrite")
