"""Inside SLURM nothing happens by itself: one process trains, SIGUSR1 saves, and requeueing is asked for."""

import os
import signal
from pathlib import Path

import pytest

from aunet.build.trainer import build_trainer
from aunet.config.composition import compose_config, resolve_config
from aunet.config.schema import as_plain
from aunet.files import write_json, write_text
from aunet.networks import UNet
from aunet.pipeline.configuration import configure_run
from aunet.pipeline.slurm import find_requeued_run, mark_job, stopping_on_signal, warn_of_copies
from aunet.runs.run_folder import RunFolder
from aunet.training.hardware import choose_for_hardware
from tests.config.test_every_option import FACTS

WORDS = ["data=msd", "data.root=/scans", "trainer.requeue=true"]
SLURM = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}
LSF = {"LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/nowhere", "JSM_NAMESPACE_LOCAL_RANK": "0", "JSM_NAMESPACE_SIZE": "4"}


@pytest.fixture
def in_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Set the variables of a job, and put a scontrol that writes its words to a file on the path."""
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    write_text(tmp_path / "bin" / "scontrol", f'#!/bin/sh\necho "$@" > {tmp_path / "asked"}\n')
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize("variables", [SLURM, {**SLURM, "SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, LSF, {}])
def test_a_scheduler_does_not_choose_how_lightning_trains(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = resolve_config(compose_config(["trainer.accelerator=cpu"]), FACTS).trainer
    choice = choose_for_hardware("float32", False, "cpu", is_tf32=False, is_deterministic=False)
    network = UNet(spatial_dims=3, in_channels=1, num_classes=2, channels=(2, 4))
    trainer = build_trainer(settings, [], choice, tmp_path, network)
    assert (trainer.world_size, trainer.global_rank) == (1, 0)
    handler = signal.getsignal(signal.SIGUSR1)
    trainer._signal_connector.register_signal_handlers()
    assert signal.getsignal(signal.SIGUSR1) == handler  # Lightning would requeue on it
    trainer._signal_connector.teardown()


@pytest.mark.parametrize(("is_requeued", "asked"), [(True, "requeue 4711\n"), (False, None)])
@pytest.mark.parametrize("is_training", [True, False])
def test_sigusr1_stops_and_queues_the_job_again_only_if_asked(
    is_requeued: bool, asked: str | None, is_training: bool, in_slurm: Path
) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt  # as the training does after its checkpoint

    before = signal.signal(signal.SIGTERM, interrupt if is_training else signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), stopping_on_signal(is_requeued=is_requeued):
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    file = in_slurm / "asked"
    assert (file.read_text() if file.is_file() else None) == asked


def test_ctrl_c_does_not_queue_the_job_again(in_slurm: Path) -> None:
    with pytest.raises(KeyboardInterrupt), stopping_on_signal(is_requeued=True):
        raise KeyboardInterrupt
    assert not (in_slurm / "asked").exists()


def begin(folder: Path, words: list[str]) -> Path:
    settings = as_plain(resolve_config(compose_config(words), FACTS))
    write_json(RunFolder(folder).record, {"slurm_job": mark_job(words), "status": "interrupted"})
    write_json(RunFolder(folder).config, settings)  # JSON is YAML
    return folder


@pytest.mark.parametrize("name", ["earlier", "same"])
def test_a_job_that_was_queued_again_continues_the_run_that_its_command_began(
    name: str, in_slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*WORDS, f"hydra.run.dir={in_slurm / 'runs' / 'same'}"]
    begun = begin(in_slurm / "runs" / name, words)
    begin(in_slurm / "runs" / "of another command", [*words, "seed=1"])
    draft, folder = configure_run(words)
    assert (draft.resume, folder) == (None, in_slurm / "runs" / "same")  # not queued again: a new run
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    draft, folder = configure_run(words)
    assert draft.resume == folder == begun


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SLURM_JOB_ID", "4712", WORDS),
        ("SLURM_RESTART_COUNT", "0", WORDS),
        ("SLURM_RESTART_COUNT", "1", [*WORDS, "seed=1"]),
    ],
)
def test_another_job_start_or_command_does_not_continue_it(
    variable: str, value: str, words: list[str], in_slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(in_slurm / "runs" / "earlier", WORDS)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv(variable, value)
    assert find_requeued_run(in_slurm / "runs" / "new", words) is None


@pytest.mark.parametrize(("copies", "is_warned"), [("4", True), ("1", False), (None, False)])
def test_copies_that_srun_starts_are_warned_of(
    copies: str | None, is_warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    if copies:
        monkeypatch.setenv("SLURM_STEP_NUM_TASKS", copies)
    warn_of_copies()
    assert bool(caplog.messages) == is_warned
