"""A run's folder may come from a stranger: reading its configuration runs nothing and believes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from torch import nn

from aunet.build.inferer import build_inferer
from aunet.build.preprocessing import build_preprocessing
from aunet.build.task import build_augmentation
from aunet.config import history as config_history
from aunet.config.composition import compose_config, resolve_config
from aunet.config.draft import load_draft, load_run_config
from aunet.config.schema import as_plain
from aunet.errors import UserError
from aunet.networks import AttentionUNet, UNet
from aunet.networks.slice_by_slice import SliceBySlice
from tests.config.test_every_option import FACTS


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Return a folder with the resolved configuration of a run, as training leaves it."""
    _write(tmp_path, as_plain(resolve_config(compose_config([]), FACTS)))
    return tmp_path


def test_a_runs_configuration_reads_back_equal(run_folder: Path) -> None:
    assert load_run_config(run_folder) == resolve_config(compose_config([]), FACTS)


def test_trust_written_in_a_run_folder_is_not_believed(run_folder: Path) -> None:
    values = as_plain(resolve_config(compose_config([]), FACTS))
    values["trusted_modules"] = ["os"]
    values["model"]["network"] = {"_target_": "os.system", "command": "true"}
    _write(run_folder, values)
    with pytest.raises(UserError, match=r"config\.yaml: model\.network\._target_: 'os\.system' is not allowed"):
        load_draft(run_folder)


def test_a_loss_is_checked_by_name_for_a_prediction_and_imported_for_a_training(
    run_folder: Path,
) -> None:
    values = as_plain(resolve_config(compose_config([]), FACTS))
    values["loss"]["function"] = {"_target_": "monai.losses.NoSuchLoss"}
    _write(run_folder, values)
    assert load_run_config(run_folder).loss.function["_target_"] == "monai.losses.NoSuchLoss"
    with pytest.raises(UserError, match=r"config\.yaml: loss\.function\._target_: monai\.losses has no 'NoSuchLoss'"):
        load_draft(run_folder, built=None)


@pytest.mark.parametrize("read", [load_draft, load_run_config])
def test_a_dangerous_loss_of_a_run_folder_is_refused_for_a_prediction_too(
    read: Callable[[Path], object], run_folder: Path
) -> None:
    values = as_plain(resolve_config(compose_config([]), FACTS))
    values["loss"]["function"] = {"_target_": "os.system", "command": "true"}
    _write(run_folder, values)
    with pytest.raises(UserError, match=r"config\.yaml: loss\.function\._target_: 'os\.system' is not allowed"):
        read(run_folder)


def test_trust_given_by_the_caller_is(run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "networks_of_mine.py").write_text("class Tiny: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    values = as_plain(resolve_config(compose_config([]), FACTS))
    values["model"]["network"] = {"_target_": "networks_of_mine.Tiny"}
    _write(run_folder, values)
    assert load_draft(run_folder, ["networks_of_mine"]).model.network["_target_"] == "networks_of_mine.Tiny"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:os.system ['touch ran']", "plain YAML"),
        ("model: !!python/name:os.system", "plain YAML"),
        ("model: [", "plain YAML"),
        ("- a\n- b", "holds no keys"),
        ("", "has no value"),
        ("model: {name: '${oc.env:HOME}'}", "oc.env"),
        ("data: {name: 'a/${oc.env:HOME}'}", "oc.env"),
        ("no_such_key: 1", "no such key"),
    ],
)
def test_a_file_that_is_not_a_runs_configuration_is_refused(
    text: str, message: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder)
    (run_folder / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_draft(run_folder)
    assert not (run_folder / "ran").exists()


def test_bytes_that_are_not_text_are_refused(run_folder: Path) -> None:
    (run_folder / "config.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="plain YAML"):
        load_draft(run_folder)


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.yaml"):
        load_draft(tmp_path)


def test_facts_that_are_missing_are_reported_before_anything_is_built() -> None:
    with pytest.raises(UserError, match=r"dataset\.batch_size has no value"):
        resolve_config(compose_config([]), {})


def _write(folder: Path, values: dict[str, object]) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(values))


def test_networks_of_a_run_from_before_an_argument_existed_behave_as_they_did(run_folder: Path) -> None:
    values = as_plain(
        resolve_config(compose_config(["model=attention_recurrent_inception", "model.network.norm=group"]), FACTS)
    )
    del values["loss"]["level_reduction"], values["model"]["network"]["block"]["unit"]["norm_per_application"]
    values["model"]["network"]["_target_"] = "aunet.networks.attention_unet.AttentionUNet"  # by its file
    _write(run_folder, values)
    config = load_run_config(run_folder)
    network = config.model.network
    assert config.loss.level_reduction == "sum"
    unit = network["block"]["unit"]
    assert (network["has_equal_groups"], unit["norm_per_application"]) == (True, False)
    assert "norm_per_application" not in unit["unit"]


def test_a_newer_run_that_leaves_an_argument_out_has_the_default(run_folder: Path) -> None:
    values = as_plain(resolve_config(compose_config(["model=attention_recurrent"]), FACTS))
    del values["model"]["network"]["block"]["unit"]["norm_per_application"]
    _write(run_folder, values)
    network = load_draft(run_folder).model.network
    assert "norm_per_application" not in network["block"]["unit"]
    assert "has_equal_groups" not in network


def test_a_run_from_before_geometry_in_mm_keeps_its_voxels_flips_and_interpolation(run_folder: Path) -> None:
    values = as_plain(resolve_config(compose_config([]), FACTS))
    del values["data"]["resampling"]
    for key in ("spacing", "rotation_plane", "class_names", "modality"):
        del values["data"]["augmentation"][key]
    values["data"]["augmentation"]["flip_axes"] = [0]
    _write(run_folder, values)
    config = load_run_config(run_folder)
    assert build_preprocessing(config.data, config.dataset).resampling == "linear"
    augmentation = build_augmentation(config)
    assert augmentation.geometry.spacing is None
    assert augmentation.flips.as_record() == [{"axis": 0, "exchanged": []}]


def test_a_run_from_before_a_key_existed_loads_with_the_value_that_keeps_its_behaviour(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = {"trainer.patience": lambda config: config.trainer.max_epochs, "inference.overlap": 0.25}
    monkeypatch.setattr(config_history, "ADDED_KEYS", added)
    values = as_plain(resolve_config(compose_config(["trainer.max_epochs=7"]), FACTS))
    for key in added:
        group, name = key.split(".")
        del values[group][name]
    _write(run_folder, values)
    config = load_run_config(run_folder)
    assert (config.trainer.patience, config.inference.overlap) == (7, 0.25)


@pytest.mark.parametrize(
    ("network", "voxels"),
    [
        (UNet(channels=(2, 4, 8)), 500_000),
        (AttentionUNet(channels=(2, 4, 8)), 500_000),
        (UNet(channels=(2, 4, 8), norm="instance"), 0),
        (AttentionUNet(channels=(2, 4, 8), gating_source="global"), 0),
        (SliceBySlice(UNet(channels=(2, 4, 8), spatial_dims=2)), 500_000),
        (SliceBySlice(UNet(channels=(2, 4, 8), spatial_dims=2, norm="instance")), 0),
    ],
)
def test_small_volumes_are_predicted_in_one_pass_by_networks_that_see_their_surroundings_alone(
    network: nn.Module, voxels: int
) -> None:
    config = resolve_config(compose_config([]), FACTS | {"patch_size": [32, 32, 32]})
    assert build_inferer(config, network).one_pass_voxels == voxels


def test_a_run_from_before_one_pass_is_predicted_in_windows(run_folder: Path) -> None:
    values = as_plain(resolve_config(compose_config([]), FACTS | {"patch_size": [32, 32, 32]}))
    del values["inference"]["one_pass_voxels"]
    _write(run_folder, values)
    config, network = load_run_config(run_folder), UNet(channels=(2, 4, 8))
    assert build_inferer(config, network).one_pass_voxels == 0
