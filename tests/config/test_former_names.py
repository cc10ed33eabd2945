"""Former names of targets load as the present ones, in run folders, in overrides and in sweeps that are given again."""

import re
from pathlib import Path

import pytest
import yaml

import aunet
import aunet.data
from aunet.build.objects import build_object
from aunet.config.composition import compose_config, resolve_config
from aunet.config.draft import compose_draft, load_draft
from aunet.config.history import FORMER_NAMES, present_name
from aunet.config.schema import as_plain
from aunet.config.trust import find_target
from aunet.sweeps.sweep_plan import plan_sweep, write_plan
from tests.config.test_every_option import FACTS

# Each name of ours in conf/ before the first of them changed.
_NAMES_BEFORE = [
    "aunet.data.augmentation.Augmentation",
    "aunet.data.ct150.ct150_cohort",
    "aunet.data.ct82.ct82_cohort",
    "aunet.data.folder.folder_cohort",
    "aunet.data.image_folders.images_cohort",
    "aunet.data.msd.msd_cohort",
    "aunet.data.nnunet.nnunet_cohort",
    "aunet.data.totalsegmentator.totalsegmentator_cohort",
    "aunet.losses.FocalTverskyLoss",
    "aunet.losses.ReleasedDiceLoss",
    "aunet.networks.AttentionUNet",
    "aunet.networks.ConvolutionBlock",
    "aunet.networks.DeepSupervisionHead",
    "aunet.networks.GridGate",
    "aunet.networks.HardGate",
    "aunet.networks.InceptionUnit",
    "aunet.networks.MultiscaleHead",
    "aunet.networks.RecurrentUnit",
    "aunet.networks.SingleHead",
    "aunet.networks.UNet",
    "aunet.training.schedules.constant",
    "aunet.training.schedules.halving",
    "aunet.training.schedules.halving_every",
    "aunet.training.schedules.polynomial",
]
_FORMER = [(former, present) for names in FORMER_NAMES.values() for former, present in names.items()]


@pytest.mark.parametrize("name", _NAMES_BEFORE)
def test_a_name_of_before_is_found_and_is_the_object_of_its_present_name(name: str) -> None:
    target = find_target(name)
    assert target is find_target(present_name(name))
    assert target.__name__ == name.rpartition(".")[2]


@pytest.mark.parametrize(("former", "present"), _FORMER)
def test_no_present_name_is_a_former_one(former: str, present: str) -> None:
    assert present_name(former) == present
    assert present_name(present) == present


def test_conf_uses_present_names_alone(repository: Path) -> None:
    texts = [file.read_text(encoding="utf-8") for file in (repository / "conf").rglob("*.yaml")]
    named = {name for text in texts for name in re.findall(r"_target_: (aunet\.\S+)", text)}
    assert named
    assert not named & {former for former, _ in _FORMER}


@pytest.mark.parametrize("version", FORMER_NAMES)
def test_former_names_leave_with_the_version_that_ends_them(version: str) -> None:
    assert [int(part) for part in aunet.__version__.split(".")] < [int(part) for part in version.split(".")]


@pytest.mark.parametrize("name", aunet.data.__all__)
def test_every_name_that_aunet_data_exports_is_found(name: str) -> None:
    assert find_target(f"aunet.data.{name}") is getattr(aunet.data, name)
    assert name in dir(aunet.data)


def test_a_name_that_aunet_data_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        aunet.data.__getattr__("no_such_name")


def test_a_run_folder_with_former_names_reads_as_one_with_present_names(tmp_path: Path) -> None:
    config = resolve_config(compose_config([]), FACTS)
    text = yaml.safe_dump(as_plain(config))
    for former, present in _FORMER:
        text = re.sub(rf"\b{re.escape(present)}\b", former, text)
    assert text != yaml.safe_dump(as_plain(config))
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    assert load_draft(tmp_path, built=None).with_facts() == config


def test_a_former_name_on_the_command_line_builds_the_same_object() -> None:
    data = compose_draft(["data.source._target_=aunet.data.ct150.ct150_cohort"]).data
    assert data == compose_draft([]).data
    assert build_object(data.source, are_phantoms_made=False).cases


def test_a_sweep_begun_under_former_names_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_sweep(["model=unet,attention", f"hydra.sweep.dir={tmp_path}/sweep"])
    write_plan(plan)
    file = plan.folder / "sweep.json"
    text = file.read_text(encoding="utf-8")
    former = text.replace("aunet.data.ct150_cohort", "aunet.data.ct150.ct150_cohort")
    assert former != text
    file.write_text(former, encoding="utf-8")
    write_plan(plan)
