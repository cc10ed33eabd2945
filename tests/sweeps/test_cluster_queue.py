"""Requests to a cluster, and the work of a node."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from sweeps.jobs import make_job

from aunet.errors import UserError
from aunet.sweeps import cluster_job
from aunet.sweeps.cluster_job import ClusterJob, node_command
from aunet.sweeps.cluster_queue import ClusterQueue, cluster_parameters
from aunet.sweeps.sweep_plan import plan_sweep


@dataclass
class Node:
    """The environment that submitit provides to a task."""

    num_nodes: int
    job_id: str = "123_4"
    hostnames: tuple[str, ...] = ("first", "second")


def parameters(*words: str, at_once: int | None = None) -> dict[str, object]:
    plan = plan_sweep(["hydra/launcher=submitit_slurm", *words])
    return cluster_parameters(plan.jobs[0], plan.launcher_settings, at_once)


def test_a_job_gets_a_gpu_and_cores_for_each_device_of_its_trainer() -> None:
    asked = parameters(
        "trainer.devices=4",
        "hydra.launcher.nodes=2",
        "hydra.launcher.partition=gpu",
        "hydra.launcher.timeout_min=60",
        at_once=3,
    )
    assert (asked["nodes"], asked["tasks_per_node"]) == (2, 1)
    assert (asked["gpus_per_node"], asked["cpus_per_task"]) == (4, 32)
    assert (asked["slurm_partition"], asked["timeout_min"], asked["slurm_array_parallelism"]) == ("gpu", 60, 3)
    assert "slurm_account" not in asked


def test_a_job_on_the_processor_asks_for_no_gpu() -> None:
    assert parameters("trainer.accelerator=cpu")["gpus_per_node"] == 0


def test_a_machine_without_slurm_and_a_wrong_value_are_reported(tmp_path: Path) -> None:
    plan = plan_sweep(
        ["hydra/launcher=submitit_slurm", f"hydra.sweep.dir={tmp_path}", "hydra.launcher.cluster=nowhere"]
    )
    with pytest.raises(UserError, match=r"hydra\.launcher: .*nowhere"):
        ClusterQueue(tmp_path, plan.launcher_settings, None).submit(plan.jobs)


def test_a_node_stops_its_process_and_returns_the_job_that_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "pathlib.Path(sys.argv[2], 'ready').touch()\ntime.sleep(60)"
    )
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(cluster_job, "JOB_MODULE", "program")
    job = make_job(tmp_path / "job", "")
    monkeypatch.setattr(cluster_job, "JobEnvironment", lambda: Node(1))
    called = ClusterJob([str(job.folder)], job.folder, devices=1, save_seconds=30)

    def preempt() -> None:
        while not (job.folder / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR2)

    given: list[ClusterJob] = []
    before = signal.signal(signal.SIGUSR2, lambda *_: given.append(called.checkpoint().function))
    thread = threading.Thread(target=preempt)
    thread.start()
    status = called()
    thread.join()
    signal.signal(signal.SIGUSR2, before)

    assert status == 7
    assert vars(given[0]) == vars(ClusterJob([str(job.folder)], job.folder, devices=1, save_seconds=30))


def test_several_nodes_meet_at_the_first_through_torchrun() -> None:
    command = " ".join(node_command(["resume=/run"], 4, Node(2)))
    assert "torch.distributed.run --nnodes 2 --nproc-per-node 4" in command
    assert "--rdzv-id 123_4 --rdzv-endpoint first:20127" in command
    assert command.endswith("-m aunet.commands.main train resume=/run")
