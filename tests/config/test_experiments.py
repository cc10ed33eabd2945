"""The studies take what the paper and the released code state, key by key; the facts below are those of our notes."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from aunet.build.network import build_network
from aunet.commands.main import main
from aunet.config.composition import compose_config, resolve_config, split_sweep
from aunet.config.draft import load_run_config
from aunet.config.schema import as_plain
from tests.config.test_every_option import FACTS

# Shared with the paper: intensities and spacing, patch, batch (of 2 to 4), crops, flips in the axial plane.
SHARED = {
    "data.window": None,
    "data.spacing": [2.0, 2.0, 2.0],
    "data.patch_size": [160, 160, 96],
    "data.batch_size": 2,
    "data.sampling": "uniform",
    "data.augmentation.rotation_plane": "axial",
    "data.augmentation.flip_axes": [0, 1],
    "data.augmentation.elastic": 0.0,
    "data.augmentation.intensity_probability": 0.0,
    "data.augmentation.affine_probability": 1.0,
    "trainer.gradient_clip": None,
    "trainer.precision": "float32",
    "trainer.tf32": False,
    "trainer.ema": None,
    "trainer.accumulate": 1,
}
PAPER = SHARED | {
    "model.name": "attention",
    "loss.function._target_": "monai.losses.DiceLoss",
    "loss.function.softmax": True,
    "loss.function.include_background": True,
    "optimizer.factory._target_": "torch.optim.Adam",
    "optimizer.schedule._target_": "aunet.training.schedules.constant",
}
RELEASED = SHARED | {
    "model.name": "attention_official",
    "loss.function._target_": "aunet.losses.ReleasedDiceLoss",
    "optimizer.factory._target_": "torch.optim.SGD",
    "optimizer.factory.lr": 1e-4,
    "optimizer.factory.momentum": 0.9,
    "optimizer.factory.nesterov": True,
    "optimizer.factory.weight_decay": 1e-6,
    "optimizer.schedule._target_": "aunet.training.schedules.halving_every",
    "optimizer.schedule.epochs": 250,
    "trainer.max_epochs": 1000,
    "data.augmentation.rotation": 15.0,
    "data.augmentation.scale": 0.3,
    "data.augmentation.shift": 0.1,
}
# Patients to train and to test; batches that hold each of the former once.
STUDIES = {"ct150": (120, 30, 60), "ct150_few": (30, 120, 15), "ct82": (61, 21, 31)}
SOURCES = {"paper": PAPER, "released": RELEASED}
CASES = [(f"{source}_{study}", facts, *sizes) for source, facts in SOURCES.items() for study, sizes in STUDIES.items()]


def at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


@pytest.fixture(scope="module")
def generator(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("presets_table", repository / "experiments" / "presets_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("study", "facts", "train", "test", "batches"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize(
    "root", [["data.root=/scans"], pytest.param([], marks=pytest.mark.slow)], ids=["scans", "phantom"]
)
def test_a_study_takes_every_fact_that_its_source_states(
    study: str, facts: dict[str, Any], train: int, test: int, batches: int, root: list[str]
) -> None:
    values = as_plain(resolve_config(compose_config([f"experiment={study}", *root]), FACTS))
    expected = facts | {
        "data.split.train": train,
        "data.split.test": test,
        "trainer.batches_per_epoch": batches,
        "data.name": "ct82" if "ct82" in study else "ct150",
    }
    assert {key: at(values, key) for key in expected} == expected
    assert "warmup" not in values["optimizer"]["schedule"]


@pytest.mark.parametrize(
    ("study", "parameters"), [("paper_ct150", (5_888_004, 6_407_018)), ("released_ct150", (5_888_004, 6_473_322))]
)
def test_a_study_compares_the_networks_of_its_source(study: str, parameters: tuple[int, int]) -> None:
    attention = "attention" if study.startswith("paper") else "attention_official"
    jobs = split_sweep([f"experiment={study}", f"model=unet,{attention}"])
    networks = [build_network(resolve_config(compose_config(words), FACTS)) for words in jobs]
    assert tuple(sum(part.numel() for part in network.parameters()) for network in networks) == parameters


def test_a_study_can_be_tried_in_minutes_on_phantoms() -> None:
    words = ["experiment=paper_ct150", "trainer=smoke", "data.spacing=[4,4,4]", "data.patch_size=[64,64,64]"]
    values = resolve_config(compose_config(words), FACTS)
    assert (values.trainer.max_epochs, values.data.patch_size) == (2, [64, 64, 64])


def test_the_defaults_are_called_ours(repository: Path) -> None:
    for path in [repository / "README.md", *(repository / "conf" / "data").glob("*.yaml")]:
        text = path.read_text()
        assert "paper's settings" not in text
        assert "paper's numbers" not in text


def test_the_table_of_the_presets_is_up_to_date(generator: ModuleType) -> None:
    page = generator.FILE.read_text(encoding="utf-8")
    assert page == generator.presets_page(page), "run python experiments/presets_table.py"


def test_the_table_says_where_the_sources_are_silent(generator: ModuleType) -> None:
    rows = {line.split("|")[1].strip(): line.split("|")[2:5] for line in generator.comparison()}
    assert rows["learning rate"] == [" 0.0001 (not stated) ", " 0.0001 [code] ", " 0.001 "]
    assert rows["optimizer"] == [" Adam [memory] ", " SGD, Nesterov momentum 0.9 [code] ", " AdamW "]
    assert all("[" in cell or "(not stated)" in cell for row in list(rows.values())[2:] for cell in row[:2])


@pytest.mark.slow
def test_cfg_prints_the_values_of_the_run_and_nothing_else(repository: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(repository / "train.py"), "--cfg", "experiment=paper_ct150"]
    process = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    printed = yaml.safe_load(process.stdout)
    values = as_plain(resolve_config(compose_config(["experiment=paper_ct150"]), FACTS))
    assert printed.keys() == values.keys()
    assert {key: at(printed, key) for key in PAPER} == PAPER
    assert printed["trainer"]["max_epochs"] == 1000
    assert printed["model"]["network"]["in_channels"] == "${dataset.in_channels}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--cfg", "job"], ["-c", "job"], ["--cfg=job"]])
def test_cfg_job_prints_the_configuration_as_hydra_does(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *words, "experiment=paper_ct150"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["max_epochs"] == "${data.max_epochs}"
    assert printed["data"]["patch_size"] == [160, 160, 96]


def test_cfg_knows_hydras_own_part_and_refuses_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "hydra", "seed=1"]) == 0
    assert list(yaml.safe_load(capsys.readouterr().out)) == ["hydra"]
    assert main(["train", "--cfg=jobs"]) == 2
    assert "--cfg=jobs: it must be one of job, hydra, all" in capsys.readouterr().err


def test_a_run_from_before_these_keys_keeps_its_behaviour(tmp_path: Path) -> None:
    values = as_plain(resolve_config(compose_config([]), FACTS))
    for group, name in (
        ("data", "modality"),
        ("data", "sampling"),
        ("dataset", "modalities"),
        ("dataset", "intensities"),
    ):
        del values[group][name]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    config = load_run_config(tmp_path)
    assert (config.data.sampling, config.data.modality) == ("balanced", None)
    assert (config.dataset.modalities, config.dataset.intensities) == (None, None)
