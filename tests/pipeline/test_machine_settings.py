"""The machine is not the run: a run that continues takes folders, hardware and trackers anew, and nothing else."""

from functools import cache
from itertools import cycle
from pathlib import Path

import pytest
import yaml

from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import as_plain
from aunet.errors import UserError
from aunet.files import write_json
from aunet.pipeline.configuration import configure_run
from aunet.runs.run_folder import RunFolder
from tests.config.test_every_option import FACTS


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write the configuration of a run on scans in a folder of another machine."""
    return begin(tmp_path / "run", ["data=msd", "data.root=/theirs/Task04", "data.cache=/theirs/cache"])


def begin(folder: Path, words: list[str]) -> Path:
    folder.mkdir()
    RunFolder(folder).config.write_text(settings_of(*words), encoding="utf-8")
    return folder


@cache
def settings_of(*words: str) -> str:
    return yaml.safe_dump(as_plain(resolve_config(compose_config(words), FACTS)))


MACHINE_WORDS = [
    ("data.root=/ours/Task04", "data.root", "/ours/Task04"),
    ("data.root=/ours/Task04", "data.source.root", "/ours/Task04"),
    ("data.root='/ours/Müller, A'", "data.source.root", "/ours/Müller, A"),
    ("data.cache=/ours/cache", "data.cache", "/ours/cache"),
    ("data.fixes=/ours/fixes.json", "data.fixes", "/ours/fixes.json"),
    ("data.num_workers=2", "data.num_workers", 2),
    ("trainer.accelerator=cpu", "trainer.accelerator", "cpu"),
    ("trainer.devices=2", "trainer.devices", 2),
    ("trainer.checkpoint_minutes=1", "trainer.checkpoint_minutes", 1.0),
    ("store_budget=null", "store_budget", None),
    ("inference.window_batch=1", "inference.window_batch", 1),
    ("logger.project=ours", "logger.project", "ours"),
    ("logger.tags=[a,b]", "logger.tags", ["a", "b"]),
    ("logger=csv", "logger.trackers", {}),
    ("logger=[csv,tensorboard]", "logger.trackers.tensorboard._target_", "aunet.tracking.TensorBoardTracker"),
]


@pytest.mark.parametrize(
    ("word", "key", "value", "order"),
    [(*of_word, order) for of_word, order in zip(MACHINE_WORDS, cycle([1, -1]), strict=False)],
)
def test_a_resumed_run_takes_a_setting_of_the_machine_anew(
    word: str, key: str, value: object, order: int, run: Path
) -> None:
    draft, _ = configure_run([f"resume={run}", word][::order])
    found: object = draft.as_plain(is_resolved=True)
    for name in key.split("."):
        assert isinstance(found, dict)
        found = found[name]
    assert found == value


def test_the_folder_of_the_phantoms_follows_the_cache(tmp_path: Path) -> None:
    draft, _ = configure_run([f"resume={begin(tmp_path / 'phantom', ['data.cache=/theirs'])}", "data.cache=/ours"])
    assert draft.data.source["cache"] == "/ours"
    assert draft.data.source["root"] is None


@pytest.mark.parametrize(
    "word",
    [
        "data.batch_size=4",
        "data.split.seed=3",
        "loss=dice",
        "optimizer.factory.lr=1",
        "seed=1",
        "model=unet",
        "data=msd",
    ],
)
def test_a_setting_of_the_run_is_refused_with_those_of_the_machine(word: str, run: Path) -> None:
    with pytest.raises(UserError, match=r"keeps the settings it began with.*data\.root, data\.cache.*logger"):
        configure_run([f"resume={run}", word])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.num_workers=many", "auto or not negative"),
        ("trainer.accelerator=tpu", "one of auto, cpu"),
        ("logger.projekt=x", "Did you mean logger.project"),
        ("logger=wandbb", "Did you mean wandb"),
        ("data.root=null", "its data are others"),
    ],
)
def test_a_wrong_setting_of_the_machine_is_refused_as_in_a_new_run(word: str, message: str, run: Path) -> None:
    with pytest.raises(UserError, match=message):
        configure_run([f"resume={run}", word])


def test_scans_cannot_replace_the_phantom(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=/ours: this run began with null"):
        configure_run([f"resume={begin(tmp_path / 'phantom', [])}", "data.root=/ours"])


def test_the_folder_of_a_run_is_not_changed_before_its_data_are_checked(run: Path) -> None:
    before = RunFolder(run).config.read_bytes()
    write_json(RunFolder(run).record, {"status": "interrupted"})
    configure_run([f"resume={run}", "data.root=/ours/Task04"])
    assert RunFolder(run).config.read_bytes() == before
