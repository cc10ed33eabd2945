"""The queue of this machine: so many at a time, no job stops another, and Ctrl-C stops all."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from sweeps.jobs import FINISH, make_job, run_programs

from aunet.machine import ended_like_ctrl_c
from aunet.runs.run_lock import locked_folder
from aunet.sweeps.job import Job
from aunet.sweeps.job_process import last_message
from aunet.sweeps.local_queue import run_jobs_here

WAIT_FOR_STOP = """
def stop(number, frame):
    (folder / 'run.json').write_text(json.dumps({'status': 'interrupted', 'signal': number}))
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
(folder / 'ready').touch()
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    run_programs(monkeypatch)


def interrupt_when_ready(jobs: list[Job], number: signal.Signals) -> threading.Thread:
    """Send a signal to this process once the processes of all ``jobs`` are up."""

    def interrupt() -> None:
        while not all((job.folder / "ready").exists() for job in jobs):
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def test_one_job_that_fails_stops_no_other_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [make_job(tmp_path / str(number), FINISH) for number in range(3)]
    jobs.insert(1, make_job(tmp_path / "bad", "print('before')\nraise RuntimeError('no such thing')"))
    run_jobs_here(jobs, 1)
    assert [job.state.status for job in jobs] == ["finished", "failed", "finished", "finished"]
    assert last_message(jobs[1]) == "RuntimeError: no such thing"
    assert "bad failed: RuntimeError: no such thing" in capsys.readouterr().err


def test_a_users_mistake_is_the_message_of_its_job(tmp_path: Path) -> None:
    job = make_job(
        tmp_path / "bad", "sys.stderr.write('aunet: data.root: no such folder.\\n'); print('bye'); sys.exit(2)"
    )
    run_jobs_here([job], 1)
    assert last_message(job) == "aunet: data.root: no such folder."


def test_a_killed_job_has_died(tmp_path: Path) -> None:
    begun = "(folder / 'run.json').write_text('{\"status\": \"running\"}'); os.kill(os.getpid(), signal.SIGKILL)"
    job = make_job(tmp_path / "killed", begun)
    run_jobs_here([job], 1)
    assert job.state.status == "died"


@pytest.mark.parametrize("at_once", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_so_many_go_at_once_and_no_more(at_once: int, tmp_path: Path) -> None:
    program = (
        "(folder.parent / f'up_{folder.name}').touch(); time.sleep(0.5)\n"
        "(folder / 'seen').write_text(str(len(list(folder.parent.glob('up_*')))))\n"
        f"(folder.parent / f'up_{{folder.name}}').unlink()\n{FINISH}"
    )
    jobs = [make_job(tmp_path / str(number), program) for number in range(4)]
    run_jobs_here(jobs, at_once)
    assert max(int((job.folder / "seen").read_text()) for job in jobs) == at_once


def test_cores_are_divided_among_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)), raising=False)
    job = make_job(tmp_path / "job", "(folder / 'threads').write_text(os.environ['OMP_NUM_THREADS'])")
    run_jobs_here([job], 3)
    assert (job.folder / "threads").read_text() == "2"


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stop_reaches_every_job_once_and_is_waited_for(number: signal.Signals, tmp_path: Path) -> None:
    jobs = [make_job(tmp_path / str(at), WAIT_FOR_STOP) for at in range(3)]
    thread = interrupt_when_ready(jobs[:2], number)
    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():  # as every command
        run_jobs_here(jobs, 2)
    thread.join()
    records = [json.loads((job.folder / "run.json").read_text()) for job in jobs[:2]]
    assert records == [{"status": "interrupted", "signal": signal.SIGTERM}] * 2
    assert jobs[2].state.status == "waiting"


def test_a_job_that_another_process_works_on_is_waited_for(tmp_path: Path) -> None:
    taken, free = make_job(tmp_path / "taken", FINISH), make_job(tmp_path / "free", FINISH)

    def work() -> None:
        with locked_folder(taken.folder):
            while free.state.status != "finished":
                time.sleep(0.05)
            (tmp_path / "free_was_first").touch()

    thread = threading.Thread(target=work)
    thread.start()
    while taken.state.status != "running":
        time.sleep(0.01)
    run_jobs_here([taken, free], 1)
    thread.join()
    assert (tmp_path / "free_was_first").exists()
    assert taken.state.status == "finished"
