"""A full disk, a tracker that fails or hangs: the run continues, or ends so that it can be resumed."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from aunet.commands.main import main
from aunet.training.segmentation_task import SegmentationTask
from tests.end_to_end.fault_harness import descendants, differences

MEBIBYTE = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs the rights of root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def start(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "aunet.commands.main", "train", *words]
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}  # of this process
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def fill(folder: Path) -> None:
    """Write a file ``ballast`` that leaves no room in ``folder``."""
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MEBIBYTE))
        except OSError:
            pass


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_a_run_on_a_full_disk_ends_with_its_checkpoint_and_continues_when_there_is_room(
    attention_settings: list[str],
    finished_run: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = small_disk / "run"
    with monkeypatch.context() as patch:
        plain_step = SegmentationTask.training_step

        def step(task: SegmentationTask, batch: dict[str, Any], batch_idx: int) -> torch.Tensor | None:
            if (task.trainer.current_epoch, batch_idx) == (1, 0):
                fill(small_disk)
            return plain_step(task, batch, batch_idx)

        patch.setattr(SegmentationTask, "training_step", step)
        assert main(["train", *attention_settings, "logger=csv", f"hydra.run.dir={run}"]) == 2
    assert (run / "checkpoints" / "last.ckpt").is_file()
    messages = capsys.readouterr().err
    assert "Traceback" not in messages
    assert f"aunet train resume={run}" in " ".join(messages.split())

    (small_disk / "ballast").unlink()
    assert main(["train", f"resume={run}"]) == 0
    assert differences(run, finished_run) == []


class _FullAt:
    """A disk on which the ``number``-th opening of a file for writing below ``folders`` fails; it counts them."""

    def __init__(self, number: int, folders: list[Path]) -> None:
        self.count = 0
        self._number, self._folders, self._open = number, folders, io.open

    def open(self, file: Any, mode: str = "r", *arguments: Any, **settings: Any) -> Any:
        if set(mode) & set("wax+") and not isinstance(file, int):
            path = Path(file).absolute()
            if any(path.is_relative_to(folder) for folder in self._folders):
                self.count += 1
                if self.count == self._number:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return self._open(file, mode, *arguments, **settings)


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_a_disk_that_is_full_at_any_file_ends_in_one_sentence_and_a_run_that_continues(
    attention_settings: list[str],
    finished_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(name: str, number: int) -> tuple[int, int, list[str]]:
        run, cache = tmp_path / name, tmp_path / f"cache_of_{name}"
        words = [*attention_settings, "logger=csv", f"data.cache={cache}", f"hydra.run.dir={run}"]
        disk = _FullAt(number, [run, cache])
        with monkeypatch.context() as patch:
            patch.setattr("io.open", disk.open)
            patch.setattr("builtins.open", disk.open)
            return main(["train", *words]), disk.count, words

    _, num_files, _ = train("whole", 0)
    for number in range(2, num_files, num_files // 8):
        name = f"full_at_{number}"
        status, _, words = train(name, number)
        messages = capsys.readouterr().err
        assert "Traceback" not in messages, number
        if status:
            assert (status, messages.count("the disk is full")) == (2, 1), number
            run = tmp_path / name
            assert main(["train", f"resume={run}"] if (run / "run.json").is_file() else ["train", *words]) == 0
        assert differences(tmp_path / name, finished_run) == [], number
        assert not list(tmp_path.rglob(".????????-*")), number


@pytest.mark.usefixtures("without_pictures")
def test_a_tracker_that_cannot_write_costs_one_line(
    attention_settings: list[str], finished_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "wandb").write_text("a file stands where W&B wants its folder")
    assert main(["train", *attention_settings, f"hydra.run.dir={run}"]) == 0
    assert differences(run, finished_run) == []
    assert sum("W&B failed" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.slow
def test_a_full_media_budget_costs_one_line(
    attention_settings: list[str], finished_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    assert main(["train", *attention_settings, "logger.media_mib=0.1", f"hydra.run.dir={run}"]) == 0
    assert differences(run, finished_run) == []
    assert sum("logger.media_mib" in record.getMessage() for record in caplog.records) == 1
    media = list(run.glob("wandb/offline-run-*/files/media/images/**/*.png"))
    assert sum(path.stat().st_size for path in media) <= 0.1 * MEBIBYTE


@pytest.mark.slow
def test_the_media_of_a_run_hold_every_level_of_every_epoch_after_a_resume_too(
    attention_settings: list[str], finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start([*attention_settings, f"hydra.run.dir={run}"])
    wait_for(run / "checkpoints" / "last.ckpt", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert main(["train", f"resume={run}"]) == 0
    for folder in (run, finished_run):
        for level in (1, 2):
            media = folder.glob(f"wandb/offline-run-*/files/media/images/attention/level_{level}/*.png")
            assert {path.name.rsplit("_", 2)[1] for path in media} == {"0", "1", "2"}, (folder, level)


@pytest.mark.slow
def test_a_tracker_that_hangs_costs_one_line_and_a_bounded_wait(
    attention_settings: list[str], finished_run: Path, tmp_path: Path
) -> None:
    """W&B's own process is stopped for good, so that it answers nothing any more."""
    run = tmp_path / "run"
    process = start([*attention_settings, f"hydra.run.dir={run}"])
    wait_for(run / "checkpoints" / "last.ckpt", process)
    services = [
        child for child in descendants(process.pid) if b"wandb-core" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    assert services
    for service in services:
        os.kill(service, signal.SIGSTOP)
    try:
        process.wait(timeout=200)
    finally:
        for service in services:
            os.kill(service, signal.SIGKILL)
    _, messages = process.communicate()  # not before: they hold its stderr open
    assert process.returncode == 0, messages
    assert messages.count("W&B failed") == 1
    assert differences(run, finished_run) == []
