"""Runs of other versions are read: a newer one's keys are ignored, an older one's are filled in, by one line each."""

import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from aunet.config.draft import load_draft, load_run_config
from aunet.errors import UserError
from aunet.runs.run_folder import RunFolder


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> Path:
    return shutil.copytree(repository / "tests" / "fixtures" / "old_run" / "unet", tmp_path / "run")


def change(run: Path, key: str, value: object) -> None:
    """Set a key of the run's configuration; None removes it."""
    config = OmegaConf.load(RunFolder(run).config)
    group, _, name = key.rpartition(".")
    if value is None:
        del (OmegaConf.select(config, group) if group else config)[name]
    else:
        OmegaConf.update(config, key, value, force_add=True)
    OmegaConf.save(config, RunFolder(run).config)


NEWER = [("trainer.brand_new", 1), ("brand_new", {"a": 1}), ("data.split.brand_new", "x"), ("inference.brand_new", [1])]


@pytest.mark.parametrize(("key", "value"), NEWER)
@pytest.mark.parametrize("read", [load_draft, load_run_config])
def test_a_key_of_a_newer_version_is_ignored_with_a_line_that_names_both(
    key: str, value: object, read: object, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(run, key, value)
    assert callable(read)
    read(run)
    [line] = [message for message in caplog.messages if "ignored" in message]
    assert key in line
    assert "as the run is of aunet 0.1.0 and this is aunet 0.1.0" in line


@pytest.mark.parametrize(("key", "value"), NEWER)
def test_a_training_does_not_continue_with_a_key_that_it_does_not_know(key: str, value: object, run: Path) -> None:
    change(run, key, value)
    with pytest.raises(UserError, match=f"{key}.*there is no such key"):
        load_draft(run, built=None)


@pytest.mark.parametrize(
    "key", ["trainer.patience", "logger.media_mib", "optimizer.name", "store_budget", "attention.cases"]
)
def test_a_key_that_an_older_run_lacks_and_a_prediction_does_not_need_has_its_default(
    key: str, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(run, key, None)
    load_run_config(run)
    caplog.set_level("INFO")
    load_draft(run)
    assert any(f"defaults for {key}" in message for message in caplog.messages)


@pytest.mark.parametrize("key", ["data.window", "dataset.spacing", "model.network", "inference.overlap"])
def test_a_key_that_a_prediction_needs_is_asked_for_in_the_file(key: str, run: Path) -> None:
    change(run, key, None)
    with pytest.raises(UserError, match=rf"config\.yaml: {key} is missing, as the run is of aunet.*Add it to the file"):
        load_run_config(run)


def test_a_name_with_a_slash_that_an_older_run_has_is_read_with_a_dash(run: Path) -> None:
    change(run, "model.name", "mine/../unet")
    assert load_run_config(run).model.name == "mine-..-unet"
    assert load_draft(run).model.name == "mine-..-unet"
