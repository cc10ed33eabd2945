"""No configuration, whoever wrote it, names code outside the allowed modules."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import aunet.networks
from aunet.config.composition import compose_config
from aunet.config.draft import Draft
from aunet.config.trust import check_targets, find_target
from aunet.errors import UserError

DANGEROUS = [
    "os.system",
    "posix.system",
    "subprocess.Popen",
    "subprocess.check_output",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "torch.load",
    "torch.hub.load",
    "torch.utils.cpp_extension.load",
    "pickle.loads",
    "numpy.load",
    "hydra.utils.instantiate",
    "hydra.utils.call",
    "functools.partial",
    "runpy.run_path",
    "aunet.commands.main.main",
    "aunet.files.write_text",
    # through modules that only import what is dangerous
    "aunet.data.store.case_store.os.system",
    "aunet.data.cohort.case.Path",
    "aunet.data.cohort.case.dataclass",
    "monai.networks.nets.densenet.load_state_dict_from_url",
    "monai.networks.nets.senet.download_url",
    "monai.networks.nets.hovernet.os",
    "monai.networks.nets.hovernet.os.system",
    "monai.networks.nets.hovernet.torch.load",
    "torch.nn.modules.module.warnings.sys",
    "torch.optim.adam.torch.load",
    # through attributes of what is allowed
    "aunet.networks.UNet.__init__.__globals__",
    "aunet.networks.__builtins__",
    "aunet.networks.__loader__",
    "torch.nn.Module.load_state_dict",
    # not names at all
    "",
    ".",
    "aunet",
    "aunet..networks",
    "aunet.networks.UNet()",
    "aunet.networks:UNet",
    "__import__('os').system",
]


@pytest.mark.parametrize("target", DANGEROUS)
def test_a_dangerous_target_is_refused(target: str) -> None:
    with pytest.raises(UserError, match="_target_"):
        find_target(target)


@pytest.mark.parametrize("target", [None, 3, ["os.system"], {"_target_": "os.system"}])
def test_a_target_that_is_not_text_is_refused(target: object) -> None:
    with pytest.raises(UserError, match="not the dotted name"):
        find_target(target)


def test_a_refused_module_is_not_even_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger.py").write_text("import pathlib; pathlib.Path('imported').touch()\ndef build(): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"trusted_modules"):
        find_target("stranger.build")
    assert not (tmp_path / "imported").exists()
    assert "stranger" not in sys.modules


def test_a_module_that_the_user_trusts_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text("import os\nclass Tiny:\n    def __init__(self, width): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_target("own_networks.Tiny", ["own_networks"]).__name__ == "Tiny"
    with pytest.raises(UserError):
        find_target("own_networks.os.system", ["own_networks"])


def test_a_trusted_module_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="no module not_installed_anywhere"):
        find_target("not_installed_anywhere.Tiny", ["not_installed_anywhere"])


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("aunet.networks.UNet", aunet.networks.UNet),
        ("torch.optim.AdamW", torch.optim.AdamW),
        ("torch.nn.CrossEntropyLoss", torch.nn.CrossEntropyLoss),
    ],
)
def test_ours_and_torchs_and_monais_are_found(name: str, target: object) -> None:
    assert find_target(name) is target


def test_a_misspelled_class_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"Did you mean AttentionUNet\?"):
        find_target("aunet.networks.AttentionUnet")


@pytest.mark.parametrize(
    "place",
    [
        {"_target_": "os.system", "command": "true"},
        {"network": {"_target_": "torch.nn.Identity", "args": [[{"_target_": "os.system"}]]}},
        {"network": {"_target_": "torch.nn.Identity", "_args_": [{"_target_": "os.system"}]}},
        {"list": [1, {"deep": {"_target_": "builtins.eval"}}]},
    ],
)
def test_a_target_is_found_wherever_it_hides(place: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="not allowed"):
        check_targets(place)


def test_a_target_put_together_by_interpolation_is_refused() -> None:
    config = compose_config([])
    config.model.network = {"_target_": "${model.name}.system"}
    config.model.name = "os"
    with pytest.raises(UserError, match=r"'os\.system' is not allowed"):
        Draft(config)


def test_an_argument_that_the_target_does_not_have_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"model\.network\.chanels: .* Did you mean channels\?"):
        check_targets({"model": {"network": {"_target_": "aunet.networks.UNet", "chanels": [8]}}})


def test_nothing_ran_while_targets_were_checked(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    with pytest.raises(UserError):
        check_targets({"a": {"_target_": "os.system", "command": f"touch {proof}"}})
    assert not proof.exists()


@pytest.mark.parametrize(
    "target", ["os.system", "torch.load", "aunet.commands.main.main", 3, "monai.losses.DiceLoss()"]
)
def test_a_target_that_is_not_built_is_still_refused_by_its_name(target: object) -> None:
    with pytest.raises(UserError, match=r"loss\.function\._target_"):
        check_targets({"loss": {"function": {"_target_": target}}}, built=["model.network"])


def test_only_the_modules_of_targets_that_are_built_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("own_network", "own_loss"):
        (tmp_path / f"{name}.py").write_text("class Part:\n    def __init__(self, width): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    values = {
        "model": {"network": {"_target_": "own_network.Part", "width": 1}},
        "loss": {"function": {"_target_": "own_loss.Part", "height": 1}},
    }
    check_targets(values, ["own_network", "own_loss"], built=["model.network"])
    assert "own_network" in sys.modules
    assert "own_loss" not in sys.modules
    with pytest.raises(UserError, match="no argument 'height'"):
        check_targets(values, ["own_network", "own_loss"])


def test_a_part_inside_a_built_one_is_checked_and_one_of_a_longer_name_is_not() -> None:
    unknown = {"_target_": "aunet.networks.NoSuch"}
    check_targets({"model": {"network_of_mine": unknown}}, built=["model.network"])
    for place in ({"gate": unknown}, {"parts": [{"gate": unknown}]}, [unknown]):
        with pytest.raises(UserError, match="NoSuch"):
            check_targets({"model": {"network": place}}, built=["model.network"])
