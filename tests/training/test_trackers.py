"""The tracker never asks, never stops a run."""

from pathlib import Path

import pytest

from aunet.training import trackers


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.usefixtures("nobody")
def test_who_is_not_logged_in_stays_offline() -> None:
    assert trackers._mode() == "offline"


@pytest.mark.usefixtures("nobody")
def test_who_is_logged_in_is_online(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0000\n")
    assert trackers._mode() == "online"


@pytest.mark.usefixtures("nobody")
def test_the_environment_decides_where_it_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0000")
    assert trackers._mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert trackers._mode() == "disabled"


def test_a_tracker_that_cannot_start_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("wandb.init", fail)
    assert trackers.wandb_logger(tmp_path, "aunet", "group", {}) is None
    assert "W&B could not start (no space left)" in caplog.text
    assert trackers.log_picture(None) is None
