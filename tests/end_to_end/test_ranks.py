"""Several processes train as one would: torchrun with gloo, on the processor."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from aunet.build.data import build_cohort
from aunet.build.model import load_run
from aunet.commands.main import main
from aunet.config.draft import compose_draft
from aunet.config.schema import DataConfig
from aunet.evaluation.test_scores import score_test_cases
from aunet.terminal import run_progress

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture(scope="session")
def rank_settings(attention_settings: list[str]) -> list[str]:
    """No batch norm: its statistics are what ranks may change."""
    return [*attention_settings, "logger=csv", "model.network.norm=instance", "trainer.accelerator=cpu"]


def train(words: list[str], folder: Path, *more: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aunet.commands.main", "train", *words, *more, f"hydra.run.dir={folder}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # two ranks are forked off
def test_two_ranks_train_as_one_process_does(rank_settings: list[str], tmp_path: Path) -> None:
    """Float rounding differs, and Adam enlarges it from step to step."""
    words = [*rank_settings, "trainer.max_epochs=1", "data.split.test=0.6", "data.split.val=0.1"]
    assert main(["train", *words, f"hydra.run.dir={tmp_path}/one"]) == 0

    assert main(["train", *words, "trainer.devices=2", f"hydra.run.dir={tmp_path}/two"]) == 0

    one, two = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-2)
    _check_scores_are_those_of_one_process(tmp_path / "two", compose_draft(words).data)


def _check_scores_are_those_of_one_process(run: Path, data: DataConfig) -> None:
    """Five test cases over two ranks: one of them predicted three."""
    cohort = build_cohort(data)
    by_id = {case.case_id: case for case in cohort.cases}
    cases = [by_id[case_id] for case_id in json.loads((run / "splits.json").read_text())["test"]]
    assert len(cases) == 5
    with run_progress() as progress:
        score_test_cases(load_run(run), cases, cohort, run / "again", progress)
    assert (run / "again" / "case_scores.csv").read_bytes() == (run / "test" / "case_scores.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["dice_ce", "dice"])
@pytest.mark.parametrize("is_of_batch", ["true", "false"])
def test_the_gradient_of_two_ranks_is_that_of_the_whole_batch(
    loss: str, is_of_batch: str, rank_settings: list[str], tmp_path: Path
) -> None:
    """One step of plain gradient descent subtracts the gradient, at a rate at which weights round less than it."""
    words = [*rank_settings, f"loss={loss}", f"+loss.function.batch={is_of_batch}", "optimizer=sgd"]
    words += ["trainer.max_epochs=1", "trainer.batches_per_epoch=1", "trainer.gradient_clip=null"]
    words += ["optimizer.factory.lr=64", "optimizer.factory.momentum=0", "optimizer.factory.nesterov=false"]
    words += ["optimizer.factory.weight_decay=0"]
    words = [word for word in words if word != "optimizer.factory.lr=0.01"]
    assert train(words, tmp_path / "one").returncode == 0
    assert train(words, tmp_path / "two", "trainer.devices=2").returncode == 0
    assert train(words, tmp_path / "none", "optimizer.factory.lr=0").returncode == 0
    start, one, two = (
        torch.cat([value.double().flatten() for value in weights(tmp_path / name).values()])
        for name in ("none", "one", "two")
    )
    assert (one - start).norm() > 0.1
    assert (two - one).norm() / (one - start).norm() < 1e-6


@pytest.mark.slow
def test_one_case_over_two_ranks_does_not_hang(rank_settings: list[str], tmp_path: Path) -> None:
    process = train(rank_settings, tmp_path / "run", "trainer.devices=2", "data.split.val=0.1", "data.split.test=0.1")
    assert process.returncode == 0, process.stderr
    assert len(json.loads((tmp_path / "run" / "splits.json").read_text())["test"]) == 1


@pytest.mark.slow
def test_ctrl_c_stops_all_ranks_with_a_checkpoint_and_resumes(rank_settings: list[str], tmp_path: Path) -> None:
    words = [*rank_settings, "trainer.devices=2", "trainer.max_epochs=12"]
    assert train(words, tmp_path / "whole").returncode == 0
    folder = tmp_path / "stopped"
    command = [sys.executable, "-m", "aunet.commands.main", "train", *words, f"hydra.run.dir={folder}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (folder / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 130, messages
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"

    assert main(["train", f"resume={folder}"]) == 0

    for name in ("metrics.csv", "test/case_scores.csv", "attention/statistics.csv"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.slow
def test_a_rank_that_dies_ends_the_run_within_a_minute(rank_settings: list[str], tmp_path: Path) -> None:
    words = [*rank_settings, "trainer.devices=2", "trainer.max_epochs=1000", "attention.cases=0"]
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "aunet.commands.main", "train", *words, f"hydra.run.dir={folder}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (folder / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(_ranks_of(folder)[-1], signal.SIGKILL)
    killed = time.monotonic()
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1
    assert time.monotonic() - killed < 60
    assert "one of the 2 processes failed: rank 1: killed by SIGKILL, mostly for lack of memory" in messages
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "rank 1: killed by SIGKILL, mostly for lack of memory")
    assert not (folder / "first_end.json").exists()


FAULT_OF_RANK_1 = {
    "training": """
from aunet.training.segmentation_task import SegmentationTask
from aunet.runs.ranks import rank

plain = SegmentationTask.training_step

def step(task, batch, batch_idx):
    if rank() == 1 and batch_idx == 2:
        raise ArithmeticError("six is too much\\nor so")
    return plain(task, batch, batch_idx)

SegmentationTask.training_step = step
""",
    "test": """
import time
from aunet.inference.predictor import Predictor
from aunet.runs.ranks import rank

def predict(*arguments, **settings):
    if rank() == 1:
        raise ArithmeticError("six is too much")
    time.sleep(60)

Predictor.predict_volume = predict
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["training", "test"])
@pytest.mark.parametrize("is_by_torchrun", [False, True])
def test_a_rank_that_raises_is_named_in_record_and_message(
    place: str, is_by_torchrun: bool, rank_settings: list[str], tmp_path: Path
) -> None:
    """In the test rank 0 is interrupted by torchrun's SIGTERM, in the training its exchange with rank 1 breaks."""
    (tmp_path / "sitecustomize.py").write_text(FAULT_OF_RANK_1[place])
    folder, environment = (
        tmp_path / "run",
        {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    words = ["aunet.commands.main", "train", *rank_settings, "trainer.max_epochs=2", f"hydra.run.dir={folder}"]
    command = [sys.executable, "-m", *words, "trainer.devices=2"]
    if is_by_torchrun:
        launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        command = [sys.executable, "-m", *launch, "-m", *words]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=200, env=environment)
    assert done.returncode == 1
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "rank 1: ArithmeticError: six is too much"), done.stderr
    assert "rank 1: ArithmeticError: six is too much" in done.stderr.replace("\n", " ")
    assert "Stopped" not in done.stderr


@pytest.mark.slow
def test_two_nodes_on_loopback_train_an_epoch(rank_settings: list[str], tmp_path: Path) -> None:
    words = [*rank_settings, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    launch += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:29431", "--rdzv-id=nodes"]
    nodes = [
        subprocess.Popen([*launch, "-m", "aunet.commands.main", "train", *words], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], outputs
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_a_batch_that_cannot_be_shared_is_refused(
    rank_settings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *rank_settings, "trainer.devices=3", f"hydra.run.dir={tmp_path}/run"]) == 2
    assert "data.batch_size=3" in capsys.readouterr().err


def _ranks_of(folder: Path) -> list[int]:
    """Return the processes that train in ``folder`` according to /proc, without those that started them."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            is_rank = "TORCHELASTIC_RUN_ID" in (entry / "environ").read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            continue
        if is_rank and any(str(folder) in word for word in words):
            found.append(int(entry.name))
    return sorted(found)
