"""A sweep survives faults of its jobs and of itself; the same command continues it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aunet.commands.main import main
from aunet.runs.run_lock import is_locked
from aunet.runs.run_state import read_run_state

MAIN = [sys.executable, "-m", "aunet.commands.main"]


@pytest.fixture
def sweep_words(small_settings: list[str], tmp_path: Path) -> list[str]:
    sweep = ["model=unet", "logger=csv", "trainer.max_epochs=2", f"hydra.sweep.dir={tmp_path}/sweep"]
    return ["train", "-m", *[word for word in small_settings if not word.startswith("optimizer")], *sweep]


@pytest.mark.slow
def test_four_jobs_of_which_one_crashes_end_with_three_results_and_only_that_one_runs_again(
    sweep_words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*sweep_words, "optimizer.factory.lr=0.01,0.02,-1,0.03", "--jobs", "2"]
    assert main(words) == 2
    printed = capfd.readouterr()
    folders = [tmp_path / "sweep" / f"lr={value}" for value in ("0.01", "0.02", "-1", "0.03")]
    assert [read_run_state(folder).status for folder in folders] == ["finished", "finished", "failed", "finished"]
    assert printed.out.count("finished") == 3
    assert "Invalid learning rate: -1" in printed.err
    records = [(folder / "run.json").read_bytes() for folder in folders]

    assert main(words) == 2

    again = [(folder / "run.json").read_bytes() for folder in folders]
    assert [before == after for before, after in zip(records, again, strict=True)] == [True, True, False, True]
    assert "3 of 4 jobs are finished and kept" in " ".join(capfd.readouterr().err.split())


@pytest.mark.slow
def test_a_job_may_train_in_two_processes(sweep_words: list[str], tmp_path: Path) -> None:
    words = ["trainer.devices=2", "trainer.accelerator=cpu", "optimizer.factory.lr=0.01,0.02"]
    assert main([*sweep_words, *words]) == 0
    for value in ("0.01", "0.02"):
        folder = tmp_path / "sweep" / f"lr={value}"
        assert read_run_state(folder).status == "finished"
        assert "2 processes share each batch" in (folder / "log.txt").read_text()


def _of_one_run(words: list[str]) -> list[str]:
    return [word for word in words if word not in ("train", "-m") and not word.startswith("hydra.sweep.")]


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_process_behind_and_continues_to_the_result_of_an_unkilled_one(
    sweep_words: list[str], tmp_path: Path
) -> None:
    words = [*sweep_words, "trainer.max_epochs=20", "optimizer.factory.lr=0.01,0.02"]
    process = subprocess.Popen([*MAIN, *words])
    first = tmp_path / "sweep" / "lr=0.01"
    while not (first / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 60
    while is_locked(first):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert read_run_state(first).status == "interrupted"
    assert not (tmp_path / "sweep" / "lr=0.02" / "run.json").exists()

    assert main(words) == 0

    alone = [*_of_one_run(sweep_words), "trainer.max_epochs=20", "optimizer.factory.lr=0.01"]
    assert main(["train", *alone, f"hydra.run.dir={tmp_path}/whole"]) == 0
    for name in ("metrics.csv", "test/case_scores.csv"):
        assert (first / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert read_run_state(tmp_path / "sweep" / "lr=0.02").status == "finished"


@pytest.mark.slow
def test_two_of_one_command_do_not_run_side_by_side(sweep_words: list[str], tmp_path: Path) -> None:
    words = [*sweep_words, "trainer.max_epochs=200", "seed=0,1"]  # still runs when the second one looks
    process = subprocess.Popen([*MAIN, *words], stderr=subprocess.DEVNULL)
    while not is_locked(tmp_path / "sweep"):
        assert process.poll() is None
        time.sleep(0.05)
    second = subprocess.run([*MAIN, *words], capture_output=True, text=True)
    process.terminate()
    assert process.wait() == 130
    assert second.returncode == 2
    assert f"process {process.pid}" in second.stderr


@pytest.mark.slow
def test_a_search_ends_with_the_best_settings_to_copy(
    sweep_words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*sweep_words[2:], "optimizer.factory.lr=tag(log,interval(1e-3,1e-1))", "--trials", "2", "--jobs", "2"]
    assert main(["search", *words]) == 0
    printed = capfd.readouterr().out
    states = [read_run_state(tmp_path / "sweep" / f"trial_00{number}") for number in (0, 1)]
    best = max(states, key=lambda state: state.best_dice or 0)
    typed = shlex.split(printed.rpartition(f"Best, trial {best.folder.name[-1]}: aunet ")[2])
    assert any(word.startswith("optimizer.factory.lr=") for word in typed)
    assert main([*typed, "--cfg"]) == 0

    assert main(["search", *words]) == 0
    assert len(list((tmp_path / "sweep").glob("trial_*"))) == 2


@pytest.mark.slow
def test_the_jobs_of_a_cluster_are_stopped_with_a_checkpoint_and_continue_when_queued_again(
    sweep_words: list[str], tmp_path: Path
) -> None:
    """Jobs run on this machine through submitit as on a node; one of them gets the signal of a preemption."""
    pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")
    from aunet.sweeps.cluster_queue import ClusterQueue
    from aunet.sweeps.sweep_plan import plan_sweep, write_plan

    settings = [*sweep_words[2:], "trainer.accelerator=cpu", "trainer.max_epochs=20", "seed=0"]
    plan = plan_sweep([*settings, "hydra/launcher=submitit_slurm", "hydra.launcher.cluster=local"])
    write_plan(plan)
    [job] = plan.jobs
    queue = ClusterQueue(tmp_path / "cluster", plan.launcher_settings, None)
    queue.submit(plan.jobs)
    while not (job.folder / "checkpoints" / "last.ckpt").exists():
        assert not queue.is_done(job)
        time.sleep(0.05)
    controller = queue.ids()[0]
    [task] = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()

    os.kill(int(task), signal.SIGUSR2)

    while not queue.is_done(job):
        time.sleep(0.2)
    assert job.state.status == "finished"
    log = (job.folder / "log.txt").read_text()
    assert log.count("Stopping after this step") == 1
    assert log.count("Continuing from") == 1
    assert main(["train", *_of_one_run(settings), f"hydra.run.dir={tmp_path}/whole"]) == 0
    for name in ("metrics.csv", "test/case_scores.csv"):
        assert (job.folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
