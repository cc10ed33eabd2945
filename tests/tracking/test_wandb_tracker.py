"""Weights & Biases never asks, obeys the user's settings of it, and its offline files hold everything sent to it."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from PIL import Image

from aunet.tracking import TrackedRun, WandbTracker
from aunet.tracking.wandb_tracker import choose_arguments, choose_mode, tidy_environment, wandb_run_id

if TYPE_CHECKING:
    from wandb import Settings

KEY = "0" * 40


def user_settings(**environment: str) -> "Settings":
    """W&B's settings of a user with this environment alone."""
    import wandb

    settings = wandb.Settings()
    settings.update_from_env_vars(environment)
    return settings


def mode_of(netrc: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    monkeypatch.setenv("NETRC", str(netrc))
    return choose_mode(user_settings(**environment), environment)


def arguments_of(settings: "Settings", mode: Any = "offline") -> Mapping[str, Any]:
    run = TrackedRun(Path("cohort/run"), "cohort/run", group="cohort", tags=["a"])
    return choose_arguments(run, "abcd1234", mode, settings)


def test_a_user_who_is_not_logged_in_stays_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mode_of(tmp_path / "netrc", monkeypatch) == "offline"


def test_a_user_who_is_logged_in_is_online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    assert mode_of(netrc, monkeypatch, WANDB_API_KEY=KEY) == "online"
    assert mode_of(netrc, monkeypatch, WANDB_IDENTITY_TOKEN_FILE=str(tmp_path / "token")) == "online"
    netrc.write_text("machine api.wandb.ai login user password 0000\n")
    assert mode_of(netrc, monkeypatch) == "online"
    assert mode_of(netrc, monkeypatch, WANDB_BASE_URL="http://127.0.0.1:9") == "offline"


@pytest.mark.parametrize(
    ("variable", "value", "mode"),
    [
        ("WANDB_MODE", "disabled", "disabled"),
        ("WANDB_MODE", "offline", "offline"),
        ("WANDB_MODE", "dryrun", "offline"),
        ("WANDB_DISABLED", "true", "disabled"),
        ("WANDB_DISABLED", "1", "disabled"),
        ("WANDB_DISABLED", "false", "online"),
    ],
)
def test_the_mode_of_the_users_environment_wins(
    variable: str, value: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mode_of(tmp_path / "netrc", monkeypatch, WANDB_API_KEY=KEY, **{variable: value}) == mode


@pytest.mark.parametrize("word", ["offline", "disabled"])
def test_the_mode_of_the_users_settings_file_wins(word: str) -> None:
    settings = user_settings(WANDB_API_KEY=KEY)
    settings.update_from_dict({"mode": word})  # as W&B does with the file that `wandb offline` writes
    assert choose_mode(settings, {}) == word


def test_variables_that_mean_nothing_are_dropped() -> None:
    """Empty ones, as of a container's template, line ends of Windows, and the service of a notebook that has ended."""
    environment = {
        **{"WANDB_DIR": "", "WANDB_MODE": " ", "WANDB_API_KEY": f"{KEY}\r\n", "WANDB_TAGS": "a,b"},
        **{"WANDB_SERVICE": "3-12345-tcp-localhost-9", "HOME": " /my home "},
    }
    tidy_environment(environment)
    assert environment == {"WANDB_API_KEY": KEY, "WANDB_TAGS": "a,b", "HOME": " /my home "}


def test_a_setting_that_wandb_refuses_is_one_sentence_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    wandb.teardown()  # it would keep the settings of an earlier run of this process
    monkeypatch.setenv("WANDB_MODE", "OFFLINE")
    with pytest.raises(ValueError, match=r"W&B's setting mode='OFFLINE': Input should be 'online'") as raised:
        WandbTracker(TrackedRun(tmp_path, "run"))
    assert "pydantic" not in str(raised.value)
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(ValueError, match=r"W&B's setting run_tags=.*'',.*Tag at index 0 is empty"):
        WandbTracker(TrackedRun(tmp_path, "run", tags=("",)))
    wandb.teardown()


@pytest.mark.parametrize(
    ("variable", "argument", "value"),
    [
        ("WANDB_PROJECT", "project", "mine"),
        ("WANDB_NAME", "name", "mine"),
        ("WANDB_RUN_ID", "id", "mine"),
        ("WANDB_ENTITY", "entity", "mine"),
        ("WANDB_RUN_GROUP", "group", "mine"),
        ("WANDB_TAGS", "tags", "mine,yours"),
        ("WANDB_DIR", "dir", "/mine"),
        ("WANDB_RESUME", "resume", "must"),
    ],
)
def test_names_and_places_of_the_users_environment_win(variable: str, argument: str, value: str) -> None:
    usual, chosen = arguments_of(user_settings()), arguments_of(user_settings(**{variable: value}))
    assert argument in usual
    assert chosen.keys() == usual.keys() - {argument}  # W&B uses its own for an argument that is left out


@pytest.mark.parametrize(
    ("variable", "field", "value"),
    [
        ("WANDB_SILENT", "silent", "false"),
        ("WANDB_CONSOLE", "console", "wrap"),
        ("WANDB_INIT_TIMEOUT", "init_timeout", "7"),
    ],
)
def test_settings_of_the_users_environment_win(variable: str, field: str, value: str) -> None:
    assert field in arguments_of(user_settings())["settings"].model_fields_set
    assert field not in arguments_of(user_settings(**{variable: value}))["settings"].model_fields_set


def test_without_settings_of_the_user_those_of_the_run_count() -> None:
    arguments = arguments_of(user_settings(), mode="online")
    assert {name: arguments[name] for name in ("project", "group", "name", "tags", "id", "resume", "mode")} == {
        "project": "aunet",
        "group": "cohort",
        "name": "cohort/run",
        "tags": ["a"],
        "id": "abcd1234",
        "resume": "allow",
        "mode": "online",
    }
    assert arguments_of(user_settings())["resume"] is None


_TRACK = """
import sys
from pathlib import Path
import aunet.tracking.wandb_tracker as module
from aunet.tracking import TrackedRun, WandbTracker

module._ANSWER_SECONDS = 3
tracker = WandbTracker(TrackedRun(Path(sys.argv[1]) / "run", "run"))
tracker.metrics({"val/dice": 0.5}, 0)
tracker.finish()
print(tracker.description)
"""


def track(folder: Path, **environment: str) -> str:
    """Start and finish a tracker in a process of a user with this environment; return its description."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    here = {"HOME": str(folder), "NETRC": str(folder / "netrc"), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-c", _TRACK, str(folder)]
    process = subprocess.run(
        words, cwd=folder, env=clean | here | environment, capture_output=True, text=True, timeout=100, check=True
    )
    return process.stdout.splitlines()[-1]


@pytest.mark.slow
def test_wandb_offline_in_the_users_folder_keeps_a_run_offline(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nmode = offline\n")  # as `wandb offline` writes it
    description = track(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL="http://127.0.0.1:9")
    [part] = (tmp_path / "run").glob("wandb/offline-run-*")
    assert description == f"offline; send it later: wandb sync --append {part}"


@pytest.mark.slow
def test_a_run_whose_files_lie_elsewhere_continues_under_its_id(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for _ in range(2):
        track(tmp_path, WANDB_DIR=str(elsewhere), WANDB_MODE="offline")
    parts = list(elsewhere.glob("wandb/offline-run-*"))
    assert {part.name.rpartition("-")[2] for part in parts} == {wandb_run_id(tmp_path / "run")}


@contextlib.contextmanager
def silent_server() -> Generator[str]:
    """Accept connections on this machine and answer none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connections.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            connection.close()


@contextlib.contextmanager
def closed_port() -> Generator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    yield address


@pytest.mark.slow
@pytest.mark.parametrize("service", [silent_server, closed_port])
def test_a_service_that_does_not_answer_leaves_an_offline_run(
    tmp_path: Path, service: Callable[[], contextlib.AbstractContextManager[str]]
) -> None:
    with service() as address:
        description = track(tmp_path, WANDB_API_KEY=KEY, WANDB_BASE_URL=address)
    assert description.startswith("offline, as the service cannot be used")
    [part] = (tmp_path / "run").glob("wandb/offline-run-*")
    assert [file.stat().st_size > 0 for file in part.glob("*.wandb")] == [True]


def test_a_new_run_has_no_id_yet(tmp_path: Path) -> None:
    assert wandb_run_id(tmp_path) is None


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["offline-run-20261126_104739-1097fb97", "offline-run-20261126_104739-1097fb97-1"], "1097fb97"),
        (["run-20261126_104739-gate-or-not-3"], "gate-or-not-3"),
        (["run-20261126_104739-a", "run-20261127_000000-a"], "a"),
    ],
)
def test_the_id_is_read_from_the_name_of_the_first_part(parts: list[str], expected: str, tmp_path: Path) -> None:
    for part in parts:
        (tmp_path / "wandb" / part).mkdir(parents=True)
    assert wandb_run_id(tmp_path) == expected


def test_a_folder_that_cannot_be_written_is_an_error_and_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "wandb").write_text("a file in place of the folder")
    with pytest.raises(FileExistsError, match="wandb"):
        WandbTracker(TrackedRun(tmp_path, "run"))


def test_all_parts_of_an_interrupted_run_hold_their_media_and_tables(tmp_path: Path) -> None:
    picture, weights = tmp_path / "picture.png", tmp_path / "best.ckpt"
    weights.write_bytes(bytes(1000))
    for epochs in (range(2), range(1, 4)):
        tracker = WandbTracker(TrackedRun(tmp_path, "run", settings={"seed": 0}))
        for epoch in epochs:
            Image.new("RGB", (8, 8), (epoch, 0, 0)).save(picture)
            tracker.picture("attention/level_1/a", picture, epoch)
            tracker.metrics({"val/dice": 0.5}, epoch)
        tracker.picture("attention/film/a", picture)
        tracker.table("test/scores", pd.DataFrame({"class": ["pancreas"], "dice": [0.5]}))
        tracker.keep_file("best", weights)
        tracker.finish()
    pictures = sorted(tmp_path.glob("wandb/offline-run-*/files/media/images/attention/level_1/*.png"))
    assert sorted(path.name.split("_")[1] for path in pictures) == ["0", "1", "1", "2", "3"]
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/attention/film/*.png"))) == 2
    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/table/test/scores_*"))) == 2
    ids = [part.name.split("-")[3] for part in tmp_path.glob("wandb/offline-run-*")]
    assert ids == [wandb_run_id(tmp_path)] * 2
