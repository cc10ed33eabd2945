"""Modules of one's own are refused wherever a run is loaded, and ``--trust`` allows them there."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import aunet
from aunet.commands.main import main
from aunet.errors import UserError
from aunet.runs.run_folder import RunFolder
from tests.scans import write_nifti

OWN_PARTS = """
from aunet.networks import UNet
from aunet.data import msd_cohort

class OwnNetwork(UNet):
    pass

def own_cohort(root, classes=None, **others):
    return msd_cohort(root, classes=classes, **others)
"""


@pytest.fixture
def runs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Copy two finished runs and let each name a network or a loss of a module of one's own."""
    (tmp_path / "own_parts.py").write_text(OWN_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    network, loss = tmp_path / "network", tmp_path / "loss"
    for folder in (network, loss, tmp_path / "plain"):
        shutil.copytree(repository / "tests" / "fixtures" / "old_run" / "unet", folder)
    change(network, ("model", "network"), "own_parts.OwnNetwork")
    change(loss, ("loss", "function"), "own_parts.OwnLoss")
    return [network, loss]


def change(folder: Path, keys: tuple[str, str], target: str) -> None:
    file = RunFolder(folder).config
    values = yaml.safe_load(file.read_text())
    values[keys[0]][keys[1]]["_target_"] = target
    file.write_text(yaml.safe_dump(values))


def scan(folder: Path) -> Path:
    return write_nifti(folder / "scan.nii.gz", np.zeros((16, 16, 16), np.float32))


def command(name: str, run: Path, tmp_path: Path) -> list[str]:
    """Return the command ``name`` that loads ``run``."""
    words = {
        "predict": ["predict", run, scan(tmp_path), "--device", "cpu"],
        "compare": ["compare", run, run.parent / "plain", "--no-figures", "--allow-differences"],
        "probe": ["probe", run, "--device", "cpu"],
        "info": ["info", f"resume={run}"],
        "train": ["train", "--cfg", f"resume={run}"],
    }[name]
    return [*map(str, words), *(["--output", str(tmp_path / "out")] if name in ("predict", "compare", "probe") else [])]


COMMANDS = ("predict", "compare", "probe", "info", "train")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("part", [0, 1])
def test_a_run_with_a_part_of_ones_own_is_refused_with_an_option_that_the_command_takes(
    name: str, part: int, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(name, runs[part], tmp_path)) == 2
    assert "is not allowed" in (message := capsys.readouterr().err)
    assert "--trust its_name" in message
    assert main([name, "--help"]) == 0
    assert "--trust MODULE" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_trusted_network_is_loaded_by_every_command(
    name: str, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "probe":  # its data would be drawn; the checkpoint is looked for after the configuration
        shutil.rmtree(RunFolder(runs[0]).checkpoints.path)
    status = main([*command(name, runs[0], tmp_path), "--trust", "own_parts"])
    message = capsys.readouterr().err
    assert "not allowed" not in message
    assert "no checkpoint" in message if name == "probe" else status == 0, message


def test_a_trusted_loss_need_not_be_importable_for_a_prediction(runs: list[Path], tmp_path: Path) -> None:
    assert main([*command("predict", runs[1], tmp_path), "--trust", "others,own_parts"]) == 0


def test_python_loads_a_run_with_trusted_modules_and_refuses_it_without(runs: list[Path]) -> None:
    with pytest.raises(UserError, match="not allowed"):
        aunet.load_run(runs[0], "cpu")
    assert type(aunet.load_run(runs[0], "cpu", trusted_modules=["own_parts"]).network).__name__ == "OwnNetwork"


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_a_dataset_of_ones_own_is_read_if_trusted(
    name: str, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "predictions").mkdir()
    first: Any = {"predict": runs[0], "evaluate": tmp_path / "predictions"}[name]
    words = [name, str(first), "data=msd", "data.root=/nowhere", "data.source._target_=own_parts.own_cohort"]
    words += ["--output", str(tmp_path / "out"), *(["--classes", "ball=1"] if name == "evaluate" else [])]
    assert main(words) == 2
    assert "data.source._target_: 'own_parts.own_cohort' is not allowed" in capsys.readouterr().err
    assert main([*words, "--trust", "own_parts"]) == 2
    assert "not allowed" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["own-parts", "own parts", "os.system()", ""])
def test_a_word_that_names_no_module_is_refused(text: str, runs: list[Path], tmp_path: Path) -> None:
    assert main([*command("predict", runs[0], tmp_path), "--trust", text]) == 2


def test_trust_beside_the_setting_of_the_same_meaning_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "--trust", "mine", "trusted_modules=[yours]"]) == 2
    assert "--trust beside trusted_modules=[yours]" in capsys.readouterr().err
