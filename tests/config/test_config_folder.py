"""Configurations composed from a folder of one's own."""

import shutil
from pathlib import Path

import pytest

from aunet.config.composition import compose_config
from aunet.errors import UserError


def test_a_folder_without_train_yaml_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No train\.yaml"):
        compose_config([], tmp_path)


def test_a_key_that_the_schema_does_not_know_is_reported_with_the_one_it_resembles(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("trainer: {max_epoch: 3}\n")
    with pytest.raises(UserError, match=r"trainer\.max_epoch: .* Did you mean trainer\.max_epochs\?"):
        compose_config([], tmp_path)


def test_a_word_where_keys_belong_is_reported(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("trainer: fast\n")
    with pytest.raises(UserError, match="trainer=fast: trainer is a group of keys"):
        compose_config([], tmp_path)


def test_broken_yaml_is_reported(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("trainer: [\n")
    with pytest.raises(UserError, match="cannot be composed"):
        compose_config([], tmp_path)


def test_numbers_in_quotes_become_numbers(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("trainer: {max_epochs: '3'}\n")
    assert compose_config([], tmp_path).trainer.max_epochs == 3


@pytest.mark.parametrize("header", ["", "# Mine.\n# @package model.network.gate\n"])
def test_a_part_of_the_network_without_its_package_line_is_reported(
    header: str, repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "model" / "gate" / "mine.yaml").write_text(f"{header}_target_: aunet.networks.GridGate\n")
    with pytest.raises(UserError, match=r"model\.gate: .* begins with the line '# @package model\.network\.gate'"):
        compose_config(["model/gate=mine"], tmp_path / "conf")
