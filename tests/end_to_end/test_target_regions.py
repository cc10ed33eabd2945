"""A training on nested regions, and what uses it: prediction, scores, comparison, exports, probe, localisation."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from nested_regions import LABELS, WORD, write_nested_folder

from aunet.build.model import load_run
from aunet.commands.main import main
from aunet.data.io.volume import read_label
from aunet.inference.class_names import read_class_names
from aunet.metrics.case_scores import read_case_scores

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.usefixtures("without_pictures")]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nested_folder(tmp_path_factory.mktemp("tumours"), num_cases=8)


@pytest.fixture(scope="module")
def words(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [
        *("data=folder", f"data.root={scans}", "data.modality=mr", WORD, "logger=csv"),
        *(f"data.cache={tmp_path_factory.mktemp('cache')}", "data.patch_size=[16,16,16]", "data.batch_size=2"),
        *("model.network.channels=[8,16,16]", "trainer.batches_per_epoch=20", "trainer.precision=float32"),
        "optimizer.factory.lr=0.01",
    ]


@pytest.fixture(scope="module")
def run(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "attention"
    more = ["model=attention", "model.network.gated_levels=[1,2]", "trainer.max_epochs=8", f"hydra.run.dir={folder}"]
    assert main(["train", *words, *more]) == 0
    return folder


def test_nested_regions_are_learned(run: Path) -> None:
    scores = read_case_scores(run / "test" / "case_scores.csv")
    assert list(dict.fromkeys(scores["class"])) == ["whole", "core", "enhancing"]
    assert scores["dice"].min() > 0.9


def test_the_run_keeps_its_regions(run: Path) -> None:
    facts = yaml.safe_load((run / "config.yaml").read_text())["dataset"]
    assert (facts["num_classes"], facts["regions"]) == (3, [[1, 2, 3], [2, 3], [3]])
    assert load_run(run, "cpu").labels == LABELS


def test_predictions_are_scored_as_the_run_scored_them(
    run: Path, scans: Path, words: list[str], tmp_path: Path
) -> None:
    output, data = tmp_path / "labels", words[:4]
    assert main(["predict", str(run), str(scans / "images"), "--output", str(output), "--probabilities"]) == 0
    assert read_class_names(output) == LABELS
    names = sorted(path.name for path in (output / "probabilities" / "case_0").iterdir())
    assert names == ["01_whole.nii.gz", "02_core.nii.gz", "03_enhancing.nii.gz"]
    assert main(["evaluate", str(output), *data, "--output", str(tmp_path / "scores")]) == 0
    own = read_case_scores(run / "test" / "case_scores.csv").set_index(["case_id", "class"])["dice"]
    found = read_case_scores(tmp_path / "scores" / "case_scores.csv").set_index(["case_id", "class"])["dice"]
    assert found[own.index].to_numpy() == pytest.approx(own.to_numpy(), abs=1e-6)


def test_a_baseline_is_compared_by_its_regions(run: Path, words: list[str], tmp_path: Path) -> None:
    plain = ["model=unet", "trainer.max_epochs=8", f"hydra.run.dir={tmp_path}/unet"]
    assert main(["train", *words, *plain]) == 0
    assert main(["compare", str(tmp_path / "unet"), str(run), "--output", str(tmp_path / "comparison")]) == 0


def test_every_exported_format_paints_what_aunet_paints(run: Path, tmp_path: Path) -> None:
    assert main(["export", str(run), "--output", str(tmp_path)]) == 0
    parities = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/parity.json")}
    assert parities
    assert all(parity["equal_voxels"] > 0.999 and parity["foreground"] for parity in parities.values())


def test_a_probe_changes_regions(run: Path, tmp_path: Path) -> None:
    assert main(["probe", str(run), "--output", str(tmp_path / "probe")]) == 0


def test_a_run_on_regions_crops_the_scans_of_another(run: Path, words: list[str], scans: Path, tmp_path: Path) -> None:
    fine = tmp_path / "fine"
    more = ["model=unet", "trainer.max_epochs=2", f"data.region={run}", "data.region_margin_mm=3"]
    assert main(["train", *words, *more, f"hydra.run.dir={fine}"]) == 0
    scan = scans / "images" / "case_0.nii.gz"
    label = load_run(fine, "cpu").predict(scan).label
    assert label.shape == read_label(scans / "labels" / "case_0.nii.gz").array.shape
    assert np.any(label)
