"""The share of a machine that each of several processes gets."""

import pytest

from aunet.sweeps.job_process import gpu_share, job_environment, thread_share, visible_gpus


def test_cores_are_divided_and_nobody_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert [thread_share(count) for count in (1, 3, 8, 20)] == [8, 2, 1, 1]


def test_jobs_inherit_the_settings_of_a_tracker_but_not_the_id_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    monkeypatch.setenv("WANDB_PROJECT", "project")
    environment = job_environment(1)
    assert environment["WANDB_PROJECT"] == "project"
    assert "WANDB_RUN_ID" not in environment


@pytest.mark.parametrize(
    ("gpus", "processes", "shares"),
    [
        ("", 2, [None, None]),
        ("0", 2, [None, None]),
        ("01", 1, [None]),
        ("01", 2, [["0"], ["1"]]),
        ("0123", 2, [["0", "1"], ["2", "3"]]),
        ("013", 2, [["0"], ["1"]]),
        ("01", 4, [["0"], ["1"], ["0"], ["1"]]),
    ],
)
def test_gpus_are_divided_and_shared_in_turn_where_they_are_too_few(
    gpus: str, processes: int, shares: list[list[str] | None]
) -> None:
    assert [gpu_share(list(gpus), processes, number) for number in range(processes)] == shares


def test_only_the_gpus_that_the_user_shows_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-abc")
    assert visible_gpus() == ["2", "GPU-abc"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
