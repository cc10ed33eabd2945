"""Weights & Biases never prompts, and its offline files hold what it was sent."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from aunet.tracking.wandb_tracker import WandbTracker, wandb_media_bytes, wandb_mode, wandb_run_id


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.usefixtures("nobody")
def test_who_is_not_logged_in_stays_offline() -> None:
    assert wandb_mode() == "offline"


@pytest.mark.usefixtures("nobody")
def test_who_is_logged_in_is_online(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0000\n")
    assert wandb_mode() == "online"


@pytest.mark.usefixtures("nobody")
def test_the_environment_decides_where_it_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0000")
    assert wandb_mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode() == "disabled"


def test_a_new_run_has_no_name_yet(tmp_path: Path) -> None:
    assert wandb_run_id(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_an_error_and_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "wandb").write_text("a file stands where the folder should")
    with pytest.raises(FileExistsError, match="wandb"):
        WandbTracker(tmp_path, "abcd1234", "aunet", "group", {})


def test_all_parts_of_an_interrupted_run_hold_their_media_and_tables(tmp_path: Path) -> None:
    picture, weights = tmp_path / "picture.png", tmp_path / "best.ckpt"
    weights.write_bytes(bytes(1000))
    for epochs in (range(2), range(1, 4)):
        tracker = WandbTracker(tmp_path, "abcd1234", "aunet", "group", {"seed": 0})
        for epoch in epochs:
            Image.new("RGB", (8, 8), (epoch, 0, 0)).save(picture)
            tracker.picture("attention/level_1/a", picture, epoch)
            tracker.metrics({"val/dice": 0.5}, epoch)
        tracker.picture("attention/film/a", picture)
        tracker.table("test/scores", pd.DataFrame({"class": ["pancreas"], "dice": [0.5]}))
        tracker.keep_file("best", weights)
        tracker.finish()
    pictures = sorted(tmp_path.glob("wandb/offline-run-*-abcd1234/files/media/images/attention/level_1/*.png"))
    assert sorted(path.name.split("_")[1] for path in pictures) == ["0", "1", "1", "2", "3"]
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/attention/film/*.png"))) == 2
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/table/test/scores_*"))) == 2
    assert wandb_run_id(tmp_path) == "abcd1234"
    assert wandb_media_bytes(tmp_path) > 7 * picture.stat().st_size
