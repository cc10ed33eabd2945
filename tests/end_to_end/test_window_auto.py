"""data.window=auto from the first command to the last: measured once, kept in the run, never measured again."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from abdomens import abdomens, write_abdomens
from blank_pictures import blank_pictures

from aunet.build.model import load_run
from aunet.commands.main import main
from aunet.data.io.volume import read_volume
from aunet.data.preprocessing.intensity_scale import IntensityScale
from tests.end_to_end.test_resume import stop_at_step

pytestmark = pytest.mark.usefixtures("without_pictures")

SMALL = [
    "model=unet",
    "model.network.channels=[4,8]",
    "data.patch_size=[16,16,16]",
    "data.batch_size=2",
    "trainer.max_epochs=2",
    "trainer.batches_per_epoch=2",
    "trainer.accelerator=cpu",
    "logger=csv",
    "data.sampling=uniform",
]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = write_abdomens(tmp_path_factory.mktemp("scans"), abdomens(6))
    cache = tmp_path_factory.mktemp("cache")
    return ["data=folder", f"data.root={root}", "data.classes={organ: [1, 2, 3, 4]}", f"data.cache={cache}", *SMALL]


def intensities_of(run: Path) -> list[dict[str, object] | None]:
    return yaml.safe_load((run / "config.yaml").read_text())["dataset"]["intensities"]


def refuse_to_measure(*arguments: object) -> None:
    raise AssertionError("measured again")


@pytest.fixture(scope="module")
def run(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    with blank_pictures():
        assert main(["train", *words, f"hydra.run.dir={folder}"]) == 0
    return folder


def test_the_numbers_of_the_training_cases_are_kept_and_predict(run: Path, words: list[str]) -> None:
    root = Path(words[1].partition("=")[2])
    training = json.loads((run / "splits.json").read_text())["train"]
    pairs = [(root / "images" / f"{name}.nii.gz", root / "labels" / f"{name}.nii.gz") for name in training]
    values = np.concatenate([read_volume(image).array[read_volume(label).array > 0] for image, label in pairs])
    [facts] = intensities_of(run)
    assert facts is not None
    assert facts["window"] == pytest.approx(np.percentile(values.astype(float), [0.5, 99.5]), abs=1e-3)
    assert facts["mean"] == pytest.approx(values.mean(dtype=np.float64), abs=1e-3)

    scan = root / "images" / "case_0.nii.gz"
    predictor = load_run(run)
    assert predictor.preprocessing.scales == (IntensityScale.of_facts(facts),)
    prepared = predictor.preprocessing.image(predictor.read(scan)).array
    low, high = facts["window"]  # pyright: ignore
    expected = (np.clip(read_volume(scan).array, low, high).mean() - facts["mean"]) / facts["sd"]  # pyright: ignore
    assert prepared.mean() == pytest.approx(expected, abs=1e-3)
    assert main(["predict", str(run), str(scan), "--output", str(run.parent / "out")]) == 0


@pytest.mark.slow
def test_a_stopped_run_continues_with_its_numbers(
    words: list[str], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at_step(patch, 1)
        assert main(["train", *words, f"hydra.run.dir={folder}"]) == 130
    monkeypatch.setattr("aunet.build.preprocessing.measure_foreground", refuse_to_measure)
    monkeypatch.setattr("aunet.build.preprocessing.check_modalities", refuse_to_measure)
    monkeypatch.setattr("aunet.build.preprocessing.decide_modalities", refuse_to_measure)
    assert main(["train", f"resume={folder}"]) == 0
    assert intensities_of(folder) == intensities_of(run)
    assert (folder / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()

    assert main(["train", f"extend={folder}", "trainer.max_epochs=3"]) == 0
    assert intensities_of(folder) == intensities_of(run)


def test_cases_that_prepare_made_are_those_that_training_takes(
    words: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [*words, f"data.cache={tmp_path}/cache"]
    assert main(["prepare", *words]) == 0
    caplog.clear()
    with caplog.at_level("INFO", "aunet"):
        assert main(["train", *words, "trainer=smoke", f"hydra.run.dir={tmp_path}/run"]) == 0
    assert "5 cases, 0 of them made now" in caplog.text
    assert len(list((tmp_path / "cache" / "intensities").iterdir())) == 4


@pytest.mark.slow
def test_weights_of_another_run_start_one_with_numbers_of_its_own(words: list[str], run: Path, tmp_path: Path) -> None:
    more = ["data.split.seed=3", f"init={run}", "init_overlap=allow", "trainer=smoke", f"hydra.run.dir={tmp_path}/next"]
    assert main(["train", *words, *more]) == 0
    assert intensities_of(tmp_path / "next") != intensities_of(run)


@pytest.mark.slow
def test_a_sweep_measures_in_each_of_its_jobs(words: list[str], tmp_path: Path) -> None:
    more = ["data.fold=0,2", "trainer=smoke", "trainer.max_epochs=1", f"hydra.sweep.dir={tmp_path}/folds"]
    assert main(["train", "-m", *words, *more]) == 0
    found = [intensities_of(file.parent) for file in sorted((tmp_path / "folds").glob("*/config.yaml"))]
    assert len(found) == 2
    assert found[0] != found[1]
    assert all(scale is not None for scales in found for scale in scales)


@pytest.mark.slow
def test_two_ranks_have_the_numbers_of_one(words: list[str], run: Path, tmp_path: Path) -> None:
    more = [
        "trainer.devices=2",
        "trainer.max_epochs=1",
        f"data.cache={tmp_path}/cache",
        f"hydra.run.dir={tmp_path}/two",
    ]
    command = [sys.executable, "-m", "aunet.commands.main", "train", *words, *more, f"hydra.run.dir={tmp_path}/two"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    assert intensities_of(tmp_path / "two") == intensities_of(run)
