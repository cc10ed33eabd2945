"""Nothing needs a network, asks for one or waits for one: commands, trackers, several processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from aunet.commands.main import main
from tests.end_to_end.fault_harness import differences

KEY = "0" * 40
# A network namespace of its own holds no device but a loopback, which a machine without network has too.
ALONE = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse every address and connection of this process as without network; return what was asked for."""
    asked: list[str] = []

    def refuse(*arguments: object, **options: object) -> None:
        asked.append(str(arguments[-1]))
        raise OSError(101, "Network is unreachable")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection", "getfqdn"):
        monkeypatch.setattr(socket, name, refuse)
    return asked


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    voxels = np.random.default_rng(0).normal(100, 10, (20, 18, 16)).astype(np.float32)
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def test_no_command_asks_for_an_address(
    attention_settings: list[str], finished_run: Path, scan: Path, tmp_path: Path, no_sockets: list[str]
) -> None:
    assert main(["predict", str(finished_run), str(scan), "--output", str(tmp_path / "out")]) == 0
    assert main(["runs", str(tmp_path)]) == 0
    assert main(["info", *attention_settings]) == 0
    assert no_sockets == []


def aunet_alone(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command without a network, for a user whose environment has ``environment`` besides."""
    if subprocess.run([*ALONE, "true"], capture_output=True).returncode != 0:
        pytest.skip("a network namespace needs the rights of root, unshare and ip")
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    command = [*ALONE, sys.executable, "-m", "aunet.commands.main", *words]
    return subprocess.run(command, cwd=folder, env=inherited | path | environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"WANDB_API_KEY": KEY}, {"WANDB_MODE": "online", "WANDB_API_KEY": KEY}])
def test_a_run_without_network_is_whole_and_its_tracker_offline(
    environment: dict[str, str], attention_settings: list[str], finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = aunet_alone(["train", *attention_settings, f"hydra.run.dir={run}"], tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert differences(run, finished_run) == []
    assert "W&B failed" not in done.stderr
    [part] = run.glob("wandb/offline-run-*")
    assert [file.stat().st_size > 0 for file in part.glob("*.wandb")] == [True]


@pytest.mark.slow
def test_two_processes_train_without_network(attention_settings: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [*attention_settings, "trainer.devices=2", "trainer.accelerator=cpu", "logger=csv"]
    done = aunet_alone(["train", *words, f"hydra.run.dir={run}"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (run / "report.html").is_file()
