"""Exported files label scans in processes in which aunet cannot be imported."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from aunet import load_run
from aunet.commands.main import main
from aunet.inference.chosen_postprocessing import ChosenStep, write_choice
from aunet.runs.run_folder import RunFolder
from tests.scans import ball_and_box, write_folder_pair, write_nifti, write_nnunet_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("without_pictures")]
# Nothing of aunet can be imported where this is the first site-customization on the path.
BLOCKER = """import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "aunet":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""
SMALL = [
    "trainer.max_epochs=2",
    "trainer.batches_per_epoch=6",
    "trainer.precision=float32",
    "optimizer.factory.lr=0.01",
]
NETWORK = ["data.patch_size=[16,16,16]", "data.batch_size=2", "model.network.channels=[4,8,8]"]
# A CT-like grid: finer in plane than the network's, thicker across, sides in the order of a sagittal scan.
OBLIQUE = np.array([[0, 0.2, 2.9, 4.0], [0.8, 0, 0.1, -7.0], [0, -0.9, 0.8, 11.0], [0, 0, 0, 1]])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the variables of a process without aunet."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(BLOCKER)
    found = {**os.environ, "PYTHONPATH": str(tmp_path / "blocked")}
    process = subprocess.run([sys.executable, "-c", "import aunet"], env=found, cwd=tmp_path, capture_output=True)
    assert b"No module named 'aunet'" in process.stderr
    return found


def train(tmp_path: Path, *words: str) -> Path:
    run = tmp_path / "run"
    own = [f"data.cache={tmp_path}/cache", f"hydra.run.dir={run}", "logger=csv", "optimizer.factory.lr=0.01"]
    assert main(["train", *SMALL, *NETWORK, *own, *words]) == 0
    return run


def export(run: Path, tmp_path: Path) -> Path:
    assert main(["export", str(run), "--formats", "bundle,onnx", "--output", str(tmp_path / "exported")]) == 0
    return tmp_path / "exported"


def label(path: Path) -> NDArray[np.uint8]:
    return np.asarray(nibabel.load(path).dataobj)


def outside_aunet(words: list[str], environment: dict[str, str], folder: Path) -> None:
    process = subprocess.run([sys.executable, *words], env=environment, cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def check_equal(run: Path, exported: Path, scans: list[Path], environment: dict[str, str], tmp_path: Path) -> None:
    """Fail unless bundle and ONNX label a scan, given as files alone in their folder, as aunet does."""
    expected = load_run(run, "cpu").predict(scans)
    expected.write(tmp_path / "expected.nii.gz")
    assert 0.01 < np.mean(expected.label > 0) < 0.99
    bundle, folder = exported / "bundle", str(scans[0].parent)
    words = ["-m", "monai.bundle", "run", "--config_file", "configs/inference.json", "--dataset_dir", folder]
    outside_aunet([*words, "--output_dir", str(tmp_path / "labels")], environment, bundle)
    [written] = (tmp_path / "labels").glob("*.nii.gz")
    predict = [str(exported / "onnx" / "predict.py"), *map(str, scans), str(tmp_path / "onnx.nii.gz")]
    outside_aunet(predict, environment, tmp_path)
    for path in (written, tmp_path / "onnx.nii.gz"):
        found = nibabel.load(path)
        assert found.shape == expected.label.shape
        np.testing.assert_allclose(found.affine, nibabel.load(scans[0]).affine, atol=1e-5)
        assert np.mean(label(path) == expected.label) >= 0.999


@pytest.mark.parametrize(
    "words",
    [
        ["model=attention", "data.spacing=[2,2,2]", "inference.one_pass_voxels=0"],
        ["model=unet", "data.spacing=[1.5,1.7,4]", "data.window=[0,200]", "inference.inferer=auto"],
    ],
    ids=["windows", "one pass"],
)
def test_bundle_and_onnx_label_a_ct_slab_as_aunet_does_where_aunet_is_not_installed(
    words: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    own = write_folder_pair(tmp_path / "own", num_cases=8, shape=(44, 40, 30))
    data = ["data=folder", f"data.root={own}", "data.modality=ct", "data.classes={ball: 1, box: 2}"]
    run = train(tmp_path, *data, *words)
    steps = [ChosenStep("largest_component", "ball"), ChosenStep("minimum_volume", "box", 0.05)]
    write_choice(RunFolder(run).postprocessing, steps, {})
    image = (ball_and_box((70, 61, 14), 5)[0] - 100).astype(np.int16)
    scan = write_nifti(tmp_path / "slab" / "slab.nii.gz", image, OBLIQUE)
    exported = export(run, tmp_path)
    check_equal(run, exported, [scan], environment, tmp_path)
    for form in ("bundle", "onnx"):
        parity = json.loads((exported / form / "parity.json").read_text())
        assert parity["scan"] == "a validation case"
        assert parity["equal_voxels"] >= 0.999


def test_channels_of_mr_and_pet_in_files_of_their_own_are_labelled_as_aunet_does(
    environment: dict[str, str], tmp_path: Path
) -> None:
    raw = write_nnunet_dataset(tmp_path / "raw" / "Dataset004_Hippocampus", num_cases=8, num_channels=2)
    data = ["data=nnunet", f"data.root={raw}", "data.modality=[mr,pet]", "data.spacing=[1.4,1.4,2.5]"]
    run = train(tmp_path, "model=attention", *data)
    channels: list[Path] = []
    for path in sorted((raw / "imagesTr").glob("*_000?.nii.gz"))[:2]:
        (tmp_path / "case").mkdir(exist_ok=True)
        channels.append(Path(shutil.copy(path, tmp_path / "case" / path.name)))
    check_equal(run, export(run, tmp_path), channels, environment, tmp_path)


def test_a_network_that_labels_slice_by_slice_is_exported(environment: dict[str, str], tmp_path: Path) -> None:
    own = write_folder_pair(tmp_path / "own", num_cases=8, shape=(44, 40, 8))
    data = ["data=folder", f"data.root={own}", "data.modality=ct", "data.classes={ball: 1, box: 2}"]
    run = train(tmp_path, "model=attention", *data, "data.patch_size=[16,16,1]")
    scan = Path(shutil.copy(own / "images" / "case_0.nii.gz", tmp_path / "run"))
    (tmp_path / "one").mkdir()
    scan = scan.rename(tmp_path / "one" / scan.name)
    check_equal(run, export(run, tmp_path), [scan], environment, tmp_path)


def test_the_bundle_passes_monais_check_and_its_weights_are_tensors_alone(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    run = repository / "tests" / "fixtures" / "old_run" / "unet"
    scan = write_nifti(tmp_path / "scan.nii.gz", (ball_and_box((20, 18, 16), 1)[0] - 100).astype(np.int16))
    words = ["export", str(run), "--formats", "bundle", "--scan", str(scan), "--output", str(tmp_path)]
    assert main(words) == 0
    configs = ["--config_file", "configs/inference.json", "--meta_file", "configs/metadata.json"]
    verify = ["-m", "monai.bundle", "verify_net_in_out", "network_def", *configs]
    outside_aunet(verify, environment, tmp_path / "bundle")
    weights = torch.load(tmp_path / "bundle" / "models" / "model.pt", weights_only=True)
    expected = load_run(run, "cpu").network.state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    for file in filter(Path.is_file, (tmp_path / "bundle").rglob("*")):
        assert str(repository).encode() not in file.read_bytes(), file.name
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "damaged.nii.gz").write_bytes(scan.read_bytes()[: scan.stat().st_size // 2])
    shutil.copy(scan, tmp_path / "scans")
    places = ["--dataset_dir", str(tmp_path / "scans"), "--output_dir", str(tmp_path / "labels")]
    words = [sys.executable, "-m", "monai.bundle", "run", *configs[:2], *places]
    process = subprocess.run(words, env=environment, cwd=tmp_path / "bundle", capture_output=True, text=True)
    assert process.returncode == 1
    assert re.search(r"damaged\.nii\.gz: not labelled: (EOFError|ImageFileError)", process.stderr)
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["scan_seg.nii.gz"]
