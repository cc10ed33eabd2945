"""Localise, then segment: a run whose scans are cropped to the box that a coarse run predicts."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from pictures import disc, save_picture
from scans import ball_and_box, write_nifti

from aunet.build.model import load_run
from aunet.commands.main import main
from aunet.data.io.volume import read_channels
from aunet.data.preprocessing.region import box_around
from aunet.pipeline import comparison_pictures
from tests.end_to_end.test_resume import stop_at_step

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="session")
def coarse_run(small_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "coarse"
    more = ["data.spacing=[2,2,2]", "trainer.max_epochs=6", "logger=csv", f"hydra.run.dir={folder}"]
    assert main(["train", "model=unet", *small_settings, *more]) == 0
    return folder


@pytest.fixture(scope="session")
def region_settings(small_settings: list[str], coarse_run: Path) -> list[str]:
    return ["model=unet", *small_settings, f"data.region={coarse_run}", "data.region_margin_mm=2", "logger=csv"]


@pytest.fixture(scope="session")
def chained_run(region_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "chained"
    assert main(["train", *region_settings, f"hydra.run.dir={folder}"]) == 0
    return folder


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def scan_of(task: Path) -> Path:
    return task / "imagesTs" / "ball_100.nii.gz"


def test_a_prediction_is_the_crop_to_the_coarse_box_segmented_and_pasted_back(
    chained_run: Path, coarse_run: Path, task_folder: Path
) -> None:
    channels = read_channels(scan_of(task_folder))
    coarse = load_run(coarse_run, "cpu").predict_volume(channels).label
    box = box_around(coarse, [1, 2], channels[0].spacing, 2.0)
    assert box is not None
    assert box.stop != coarse.shape
    chained = load_run(chained_run, "cpu")
    prediction = chained.predict(scan_of(task_folder))

    chained.region = None
    inside = chained.predict_volume([box.cut(channel) for channel in channels]).label
    expected = np.zeros_like(coarse)
    expected[tuple(slice(*ends) for ends in zip(box.start, box.stop, strict=True))] = inside
    assert np.array_equal(prediction.label, expected)
    assert np.array_equal(prediction.affine, channels[0].affine)


def test_the_run_folder_predicts_without_the_coarse_run_and_elsewhere(
    chained_run: Path, task_folder: Path, tmp_path: Path
) -> None:
    expected = load_run(chained_run, "cpu").predict(scan_of(task_folder)).label
    moved = tmp_path / "moved"
    shutil.copytree(chained_run, moved)
    settings = yaml.safe_load((moved / "config.yaml").read_text())
    settings["data"]["region"] = "/gone"
    (moved / "config.yaml").write_text(yaml.safe_dump(settings))
    assert main(["predict", str(moved), str(scan_of(task_folder)), "--output", str(tmp_path / "labels")]) == 0
    written = read_channels(tmp_path / "labels" / "ball_100.nii.gz")[0].array
    assert np.array_equal(written, expected)


@pytest.mark.slow
def test_cases_in_which_the_coarse_run_finds_nothing_are_counted_everywhere(
    region_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], task_folder: Path
) -> None:
    """The coarse weights are replaced by ones that always predict background."""
    coarse = blind_copy(Path(region_settings[-3].partition("=")[2]), tmp_path / "blind")
    run, others = tmp_path / "run", [word for word in region_settings if not word.startswith("data.region=")]
    words = [*others, f"data.region={coarse}", "trainer=smoke", f"hydra.run.dir={run}"]
    assert main(["train", *words]) == 0
    parts = json.loads((run / "splits.json").read_text())
    missed = record_of(run)["region"]["missed"]
    assert missed == {part: parts[part] for part in ("train", "val", "test")}
    assert f"{len(parts['test'])} of {len(parts['test'])} test cases are whole scans" in logged(capsys)
    assert "cases not cropped" in (run / "report.html").read_text()
    scans = [str(scan_of(task_folder)), "--output", str(tmp_path / "labels")]
    assert main(["predict", str(run), *scans]) == 0
    assert "1 of 1 scans were labelled whole" in logged(capsys)


def logged(capsys: pytest.CaptureFixture[str]) -> str:
    output = capsys.readouterr()
    return " ".join((output.out + output.err).split())


def blind_copy(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder)
    best = folder / "checkpoints" / "best.ckpt"
    content = torch.load(best, weights_only=True)
    weights = content["state_dict"]
    heads = [name for name in weights if name.endswith("bias") and weights[name].shape == (3,)]
    for name, value in weights.items():
        if value.is_floating_point():
            value.zero_()
            if name in heads:
                value[0] = 1.0
    torch.save(content, best)
    return folder


@pytest.mark.slow
def test_a_resumed_run_with_a_region_ends_as_one_never_interrupted(
    region_settings: list[str], chained_run: Path, coarse_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coarse run is gone by then, and its copy in the run's folder serves."""
    folder, coarse = tmp_path / "stopped", tmp_path / "coarse"
    shutil.copytree(coarse_run, coarse)
    words = [word.replace(str(coarse_run), str(coarse)) for word in region_settings]
    with monkeypatch.context() as patch:
        stop_at_step(patch, 6)
        assert main(["train", *words, f"hydra.run.dir={folder}"]) == 130
    shutil.rmtree(coarse)
    assert main(["train", f"resume={folder}"]) == 0
    for name in ("metrics.csv", "test/case_scores.csv"):
        assert (folder / name).read_bytes() == (chained_run / name).read_bytes(), name
    assert record_of(folder)["region"]["missed"] == record_of(chained_run)["region"]["missed"]


def refusal(words: list[str], capsys: pytest.CaptureFixture[str], run: Path) -> str:
    assert main(["train", *words, f"hydra.run.dir={run}"]) == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert not (run / "run.json").exists()
    return " ".join(errors.split())


def test_a_coarse_run_that_saw_test_cases_is_refused(
    region_settings: list[str], coarse_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*region_settings, "data.split.seed=3", "trainer=smoke"]
    message = refusal(words, capsys, tmp_path / "run")
    assert f"data.region={coarse_run}:" in message
    assert "test cases were used by" in message
    assert f"data.split.file={coarse_run}/splits.json" in message


@pytest.mark.slow
def test_a_coarse_run_that_saw_test_cases_marks_the_run_if_it_is_allowed(
    region_settings: list[str], tmp_path: Path
) -> None:
    words = [*region_settings, "data.split.seed=3", "trainer=smoke"]
    assert main(["train", *words, "init_overlap=allow", f"hydra.run.dir={tmp_path / 'allowed'}"]) == 0
    [caveat] = record_of(tmp_path / "allowed")["caveats"]
    assert "which cropped the cases of this run" in caveat


def test_a_coarse_run_that_cannot_be_used_is_refused_with_the_reason(
    region_settings: list[str], coarse_run: Path, chained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [word for word in region_settings if not word.startswith("data.region=")]
    untrained, other_modality = tmp_path / "untrained", tmp_path / "ct"
    shutil.copytree(coarse_run, untrained)
    shutil.rmtree(untrained / "checkpoints")
    shutil.copytree(coarse_run, other_modality)
    settings = yaml.safe_load((other_modality / "config.yaml").read_text())
    settings["dataset"] |= {"modality": "pet", "modalities": None}
    (other_modality / "config.yaml").write_text(yaml.safe_dump(settings))
    settings["dataset"] |= {"in_channels": 2}
    shutil.copytree(other_modality, tmp_path / "channels")
    (tmp_path / "channels" / "config.yaml").write_text(yaml.safe_dump(settings))
    for more, reason in (
        ([f"data.region={tmp_path}/nowhere"], "nowhere: not a run folder"),
        ([f"data.region={untrained}"], "no checkpoint"),
        ([f"data.region={other_modality}"], "modality pet, this data has mr"),
        ([f"data.region={tmp_path}/channels"], "channels 2, this data has 1"),
        ([f"data.region={chained_run}"], "cropped by a run itself"),
        ([f"data.region={coarse_run}", "data.region_classes=[liver]"], "['liver']: not classes of"),
        (["data.region_classes=[Ball]"], "has no effect without data.region"),
    ):
        assert reason in refusal([*others, *more], capsys, tmp_path / "run")


@pytest.mark.slow
def test_a_run_with_a_region_is_compared_with_one_without(
    chained_run: Path,
    region_settings: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [word for word in region_settings if not word.startswith("data.region")]
    assert main(["train", *others, f"hydra.run.dir={tmp_path / 'whole'}"]) == 0
    monkeypatch.setattr(comparison_pictures, "draw_figures", lambda *_: ())
    runs = [str(tmp_path / "whole"), str(chained_run)]
    assert main(["compare", *runs, "--output", str(tmp_path / "table")]) == 0
    assert "region=" in capsys.readouterr().out


def test_prepared_cases_of_a_region_are_entries_of_their_own(
    region_settings: list[str], chained_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``aunet prepare`` finds those of the finished run, and others with another margin."""
    words = [word for word in region_settings if word != "logger=csv"]
    assert main(["prepare", *words]) == 0
    assert "0 of them made now" in logged(capsys)
    assert main(["prepare", *words, "data.region_margin_mm=3"]) == 0
    assert "6 of them made now" in logged(capsys)


def test_a_scan_smaller_than_the_patch_after_the_crop_is_padded(chained_run: Path, tmp_path: Path) -> None:
    image, _ = ball_and_box((12, 12, 12), 5)
    scan = write_nifti(tmp_path / "small.nii.gz", image)
    assert load_run(chained_run, "cpu").predict(scan).label.shape == (12, 12, 12)


@pytest.mark.slow
def test_a_probe_predicts_in_the_box_as_the_run_does(
    attention_settings: list[str], region_settings: list[str], tmp_path: Path
) -> None:
    run, region = tmp_path / "gated", [word for word in region_settings if word.startswith("data.region")]
    assert main(["train", *attention_settings, *region, "logger=csv", f"hydra.run.dir={run}"]) == 0
    only = ["--interventions", "mean", "--pictures", "0"]
    assert main(["probe", str(run), "--output", str(tmp_path / "probe"), *only]) == 0
    keys = ["case_id", "class"]
    probed = pd.read_csv(tmp_path / "probe" / "case_scores.csv").query("intervention == 'none'").set_index(keys)
    tested = pd.read_csv(run / "test" / "case_scores.csv").set_index(keys)
    assert len(probed) == len(tested)
    assert probed["dice"].to_dict() == pytest.approx(tested["dice"].to_dict())


@pytest.mark.slow
def test_pictures_are_cropped_too(tmp_path: Path) -> None:
    for number in range(8):
        image, mask = disc((64, 80), number)
        save_picture(tmp_path / "scans" / "images" / f"disc_{number}.png", image)
        save_picture(tmp_path / "scans" / "labels" / f"disc_{number}.png", mask * np.uint8(255))
    words = ["model=unet", "data=images", f"data.root={tmp_path / 'scans'}", "data.classes={disc: 255}", "logger=csv"]
    words += ["model.network.channels=[4,8,8]", f"data.cache={tmp_path / 'cache'}", "trainer.precision=float32"]
    words += ["trainer.max_epochs=4", "trainer.batches_per_epoch=16", "optimizer.factory.lr=0.01"]
    coarse, run = tmp_path / "coarse", tmp_path / "run"
    patch = ["data.spacing=[2,2,1]", "data.patch_size=[16,16,1]"]
    assert main(["train", *words, *patch, f"hydra.run.dir={coarse}"]) == 0
    more = ["data.patch_size=[32,32,1]", f"data.region={coarse}", "data.region_margin_mm=3"]
    assert main(["train", *words, *more, f"hydra.run.dir={run}"]) == 0
    assert record_of(run)["region"]["missed"] == {"train": [], "val": [], "test": []}
    predictor = load_run(run, "cpu")
    prediction = predictor.predict(tmp_path / "scans" / "images" / "disc_0.png")
    assert prediction.label.shape == (64, 80, 1)
    assert predictor.region is not None
    box = predictor.region.find(predictor.read(tmp_path / "scans" / "images" / "disc_0.png"))
    assert box is not None
    assert box.stop[2] == 1
    assert np.prod(np.subtract(box.stop, box.start)) < 64 * 80
