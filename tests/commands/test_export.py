"""`aunet export`: what it writes of a run made earlier, and its answers to mistakes."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from aunet import export_run, load_run
from aunet.commands.main import main
from aunet.export import formats
from tests.scans import ball_and_box, write_nifti


@pytest.fixture(scope="module")
def run(repository: Path) -> Path:
    return repository / "tests" / "fixtures" / "old_run" / "attention_half"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = (ball_and_box((20, 18, 16), 1)[0] - 100).astype(np.int16)
    return write_nifti(tmp_path_factory.mktemp("scans") / "MILLER_ANNA.nii.gz", image)


@pytest.fixture(scope="module")
def exported(run: Path, scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    words = ["export", str(run), "--formats", "safetensors", "--scan", str(scan), "--output", str(folder)]
    assert main(words) == 0
    return folder / "safetensors"


def test_safetensors_hold_the_weights_and_the_settings_that_rebuild_the_network(exported: Path, run: Path) -> None:
    weights = load_file(exported / "model.safetensors")
    expected = load_run(run, "cpu").network.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    with safe_open(exported / "model.safetensors", framework="pt") as file:
        settings = {key: json.loads(value) for key, value in file.metadata().items()}
    assert settings["network"]["_target_"] == "aunet.networks.AttentionUNet"
    assert settings["preprocessing"]["spacing"] == [8, 8, 8]
    assert settings["preprocessing"]["intensities"][0]["window"] == [-160, 240]
    assert settings["windows"]["patch_size"] == [32, 32, 32]
    assert list(settings["classes"].values()) == ["background", "pancreas", "spleen", "kidney"]


def test_the_check_and_the_card_are_beside_the_weights(exported: Path) -> None:
    parity = json.loads((exported / "parity.json").read_text())
    assert parity["equal_voxels"] == 1
    assert parity["scan"] == "the scan of --scan"
    card = (exported / "README.md").read_text()
    assert "1.000000 of the voxels" in card
    assert "PHANTOM" in card


def test_no_exported_file_names_a_case_or_a_place_of_this_machine(exported: Path, repository: Path) -> None:
    for file in filter(Path.is_file, exported.rglob("*")):
        content = file.read_bytes()
        assert not [text for text in ("MILLER", str(repository), "/tmp/") if text.encode() in content], file.name


def test_existing_formats_are_kept_unless_overwritten(
    exported: Path, run: Path, scan: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (exported / "mine.txt").touch()
    words = ["export", str(run), "--formats", "safetensors", "--scan", str(scan), "--output", str(exported.parent)]
    assert main(words) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert (exported / "mine.txt").exists()
    assert main([*words, "--overwrite"]) == 0
    assert [path.name for path in sorted(exported.iterdir())] == ["README.md", "model.safetensors", "parity.json"]
    assert [path.name for path in exported.parent.iterdir()] == ["safetensors"]  # nothing temporary is left


def test_formats_whose_packages_are_missing_are_left_out_and_their_extra_is_named(
    run: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find_spec = formats.importlib.util.find_spec
    absent = ("fire", "onnx", "onnxscript", "onnxruntime")
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None if name in absent else find_spec(name))
    with caplog.at_level(logging.INFO, logger="aunet"):
        exported = export_run(run, tmp_path / "all", scan=[scan])
    assert [one.format for one in exported] == ["safetensors"]
    assert "aunet[bundle]" in caplog.text
    assert "aunet[onnx]" in caplog.text


def edited(run: Path, folder: Path, section: str, key: str, value: object) -> Path:
    """Return a copy of ``run`` with another value in its config.yaml."""
    shutil.copytree(run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config[section][key] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_mistakes_are_one_message_and_exit_status_2(
    run: Path, scan: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    untrained = tmp_path / "untrained"
    shutil.copytree(run, untrained, ignore=shutil.ignore_patterns("checkpoints"))
    own = edited(run, tmp_path / "own", "model", "network", {"_target_": "my_networks.Mine"})
    two = edited(run, tmp_path / "two", "data", "region", str(run))
    output, plain = ["--output", str(tmp_path / "output")], ["--formats", "safetensors"]
    four = tmp_path / "four.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8, 4), np.float32), np.eye(4)), four)
    find_spec = formats.importlib.util.find_spec
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None if name == "fire" else find_spec(name))
    for words, expected in (
        (
            [str(run), "--formats", "onnx,tflite", *output],
            "tflite: not a format. Name some of bundle, onnx",
        ),
        ([str(run), "--formats", "bundle", *output], "needs fire. Run pip install 'aunet[bundle]'"),
        ([str(run), *plain, "--output", str(file)], "is a file"),
        ([str(tmp_path / "nowhere"), *plain, *output], "nowhere"),
        ([str(untrained), *plain, *output], "no checkpoint"),
        ([str(own), *plain, *output], "--trust"),
        ([str(two), *plain, *output], "data.region"),
        ([str(run), *plain, "--scan", str(tmp_path / "absent.nii.gz"), *output], "absent.nii.gz"),
        ([str(run), *plain, "--scan", str(four), *output], "4 channels"),
    ):
        assert main(["export", *words]) == 2, words
        message = capfd.readouterr().err
        assert expected in message.replace("\n", " "), message
        assert "Traceback" not in message
    assert not (tmp_path / "output").exists()


def test_settings_that_need_aunet_are_left_out_and_named(
    run: Path, scan: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    skipping = edited(run, tmp_path / "skipping", "inference", "skip_air", True)
    with caplog.at_level(logging.WARNING, logger="aunet"):
        [one] = export_run(skipping, tmp_path / "output", ["safetensors"], [scan])
    assert "inference.skip_air=true" in caplog.text
    assert "inference.skip_air=true" in (one.folder / "README.md").read_text()


def test_a_format_that_fails_leaves_no_folder_and_does_not_stop_the_others(
    run: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(folder: Path, model: object) -> None:
        (folder / "half").touch()
        raise RuntimeError("no such operator\nand more")

    broken = replace(formats.FORMATS["onnx"], write=fail)
    monkeypatch.setitem(formats.FORMATS, "onnx", broken)
    words = ["export", str(run), "--formats", "onnx,safetensors", "--scan", str(scan), "--output", str(tmp_path)]
    assert main(words) == 2
    message = " ".join(capfd.readouterr().err.split())
    assert "model=attention cannot be written in it (no such operator)" in message
    assert [path.name for path in tmp_path.iterdir()] == ["safetensors"]
