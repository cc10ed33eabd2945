"""Commands that read tables or predict load no library that only a training needs: each costs seconds."""

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
import yaml
from compared_runs import case_scores, write_run

from aunet.build.network import build_network
from aunet.commands.compare import DRAWING
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import as_plain
from tests.config.test_every_option import FACTS

_TRAINING = ("monai", "pytorch_lightning", "torchmetrics", "wandb", "matplotlib", "torch._dynamo")
_NETWORKS = ("torch", "hydra", "omegaconf")
_PROGRAM = """
import sys
from aunet.commands.main import main
assert main({words}) == 0
loaded = set({absent}) & set(sys.modules)
assert not loaded, loaded
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs with tiny networks, a scan and a folder of label maps, as a training leaves them."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = (_write_trained_run(folder / name, name) for name in ("unet", "attention"))
    (folder / "labels").mkdir()
    label_map = np.zeros((12, 12, 12), np.uint8)
    label_map[3:7, 4:8, 5:9] = 1
    nibabel.Nifti1Image(label_map, np.eye(4)).to_filename(folder / "labels" / "case_0.nii.gz")
    nibabel.Nifti1Image(label_map.astype(np.float32), np.eye(4)).to_filename(folder / "scan.nii.gz")
    return first, second


def _write_trained_run(folder: Path, model: str) -> Path:
    facts = FACTS | {"num_classes": 3, "class_names": ["background", "pancreas", "spleen"], "patch_size": [16, 16, 16]}
    levels = ["model.network.gated_levels=[1,2]"] if model == "attention" else []
    settings = resolve_config(compose_config([f"model={model}", "model.network.channels=[2,4,4]", *levels]), facts)
    write_run(folder, case_scores([0.5, 0.6, 0.7]), model=model, patch_size=facts["patch_size"])
    (folder / "config.yaml").write_text(yaml.safe_dump(as_plain(settings)), encoding="utf-8")
    weights = {f"network.{name}": value for name, value in build_network(settings).state_dict().items()}
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": weights}, folder / "checkpoints" / "best.ckpt")
    return folder


def _check_absent(words: list[str], absent: tuple[str, ...], repository: Path) -> None:
    program = _PROGRAM.format(words=words, absent=absent)
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_runs_reads_tables_without_torch_or_hydra(runs: tuple[Path, Path], repository: Path) -> None:
    _check_absent(["runs", str(runs[0].parent)], (*_TRAINING, "torch", "hydra", "scipy", "nibabel"), repository)


def test_evaluate_scores_folders_without_torch_or_hydra(
    runs: tuple[Path, Path], repository: Path, tmp_path: Path
) -> None:
    labels = str(runs[0].parent / "labels")
    _check_absent(["evaluate", labels, labels, "--output", str(tmp_path)], (*_TRAINING, *_NETWORKS), repository)


def test_compare_times_networks_without_monai_lightning_a_tracker_or_readers_of_scans(
    runs: tuple[Path, Path], repository: Path, tmp_path: Path
) -> None:
    words = ["compare", *map(str, runs), "--output", str(tmp_path), "--allow-differences", "--no-figures"]
    _check_absent(words, (*_TRAINING, "scipy.optimize", "scipy.stats", "nibabel", "pydicom"), repository)


def test_a_comparison_reads_its_runs_and_tests_few_patients_without_torch_or_readers_of_scans(repository: Path) -> None:
    absent = (*_TRAINING, *_NETWORKS, "nibabel", "pydicom", "scipy.optimize", "scipy.stats")
    program = (
        "import sys, aunet.evaluation.arms, aunet.pipeline.comparison_files;"
        f"loaded = set({absent}) & set(sys.modules); assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_figures_of_a_comparison_are_drawn_by_a_process_without_torch_readers_of_scans_or_hydra(
    repository: Path,
) -> None:
    absent = (*_NETWORKS, "monai", "pytorch_lightning", "wandb", "nibabel", "pydicom", "scipy.optimize", "scipy.stats")
    program = f"import sys, {', '.join(DRAWING)}; loaded = set({absent}) & set(sys.modules); assert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_process_that_times_networks_leaves_matplotlib_to_the_one_that_draws(
    runs: tuple[Path, Path], repository: Path, tmp_path: Path
) -> None:
    words = ["compare", *map(str, runs), "--output", str(tmp_path), "--allow-differences"]
    program = "import aunet.pipeline.second_process as module\nmodule.count_cores = lambda: 2\n"
    program += _PROGRAM.format(words=words, absent=("matplotlib", "jinja2", "PIL"))
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").is_file()


def test_predict_measures_its_memory_and_labels_a_scan_without_monai_tables_or_a_compiler(
    runs: tuple[Path, Path], repository: Path, tmp_path: Path
) -> None:
    scan = str(runs[0].parent / "scan.nii.gz")
    words = ["predict", str(runs[1]), scan, "inference.inferer=auto", "--output", str(tmp_path)]
    _check_absent(words, (*_TRAINING, "pandas", "scipy.spatial"), repository)
    assert (tmp_path / "scan.nii.gz").is_file()
