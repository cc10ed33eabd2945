"""Preparations that are killed, and several at once: each case is made once and whole, and no process is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scans import write_msd_task

from aunet.data.sources.phantom.cohort import phantom_cases
from aunet.data.sources.phantom.drawn_files import Phantom, phantom_case, write_missing
from aunet.errors import UserError
from tests.end_to_end.fault_harness import descendants

COARSE = (16.0, 16.0, 16.0)
DRAWING = """
import sys
from pathlib import Path
from aunet.data.sources.phantom.cohort import phantom_cases
if __name__ == "__main__":
    phantom_cases(Path(sys.argv[1]), 2000, (16.0, 16.0, 16.0), seed=0, processes=2)
"""
PREPARING = r"""
import os, sys
from pathlib import Path
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.sources.msd import msd_cohort
from aunet.data.store import case_store

plain = case_store.write_stored_case
def write(folder, case_id, *parts):
    os.write(1, f"{case_id}\n".encode())  # at once: two threads write
    plain(folder, case_id, *parts)

case_store.write_stored_case = write
cohort = msd_cohort(sys.argv[1])
settings = Preprocessing(spacing=None, modality="mr", window=(-160.0, 240.0))
store = case_store.CaseStore(Path(sys.argv[2]), cohort, settings, ContentDigests(Path(sys.argv[2], "digests.json")))
sys.stdin.readline()
store.prepare(cohort.cases)
"""


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", env=environment)


def let_go(process: subprocess.Popen[str]) -> None:
    """Write the line that ``PREPARING`` waits for."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def wait_until(is_reached: Callable[[], bool]) -> None:
    """Wait for something that happens at some time; pytest's limit ends a test in which it does not."""
    while not is_reached():
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_program_leaves_no_process_that_draws_and_no_half_phantom(tmp_path: Path) -> None:
    program = tmp_path / "drawing.py"  # a file, which the processes that draw import
    program.write_text(DRAWING)
    process = start([sys.executable, str(program), str(tmp_path / "phantoms")])
    wait_until(lambda: len(list(tmp_path.rglob("[!.]*_label.nii.gz"))) >= 1 or process.poll() is not None)
    children = list(descendants(process.pid))
    assert children
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(child) for child in children))
    process.communicate()
    (folder,) = {path.parent for path in tmp_path.rglob("[!.]*.nii.gz")}
    name = sorted(folder.glob("[!.]*_image.nii.gz"))[0].name
    remainder = folder / f".0123abcd-{name}"
    remainder.write_bytes(b"half")
    (folder / name).unlink()
    phantom_cases(tmp_path / "phantoms", 2, COARSE, seed=0, processes=1)
    assert not remainder.exists()


def is_alive(process: int) -> bool:
    """Return whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def die() -> Phantom:
    """Draw nothing: the system kills the process that draws."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.slow
def test_a_killed_process_that_draws_is_one_message(tmp_path: Path) -> None:
    draws = [(phantom_case(tmp_path, name, name), die) for name in ("a", "b")]
    with pytest.raises(UserError, match=r"the system killed a process that draws phantoms.*are kept"):
        write_missing(draws, COARSE, processes=2)


@pytest.mark.slow
def test_two_processes_that_prepare_one_store_make_each_case_once(tmp_path: Path) -> None:
    task = write_msd_task(tmp_path / "task", num_cases=6)
    command = [sys.executable, "-c", PREPARING, str(task), str(tmp_path / "store")]
    processes = [start(command) for _ in range(2)]
    for process in processes:
        let_go(process)
    written = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(name for names in written for name in names) == [f"ball_{number:03d}" for number in range(6)]
    assert not list((tmp_path / "store").rglob(".????????-*"))


@pytest.mark.slow
def test_one_of_two_that_prepare_is_killed_and_the_other_makes_the_rest(tmp_path: Path) -> None:
    task = write_msd_task(tmp_path / "task", num_cases=8, shape=(48, 48, 48))
    command = [sys.executable, "-c", PREPARING, str(task), str(tmp_path / "store")]
    first, second = start(command), start(command)
    let_go(first)
    assert first.stdout is not None
    assert first.stdout.readline()  # its first case is being written
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second.communicate("go\n")
    assert second.returncode == 0
    assert len(list((tmp_path / "store").rglob("case.json"))) == 8
    assert not list((tmp_path / "store").rglob(".????????-*"))
