"""How threads wait and what malloc keeps: set before torch loads, unless the user has set it."""

import platform
import resource
import subprocess
import sys

import pytest

from aunet.process_settings import describe_process, prepare_process

ALLOCATE = """
import resource
{prepare}
def touch():
    b"x" * 2**26  # 64 MiB, as a large activation
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_waiting_threads_spin_for_less_long() -> None:
    environment: dict[str, str] = {}
    prepare_process(environment)
    assert 0 <= int(environment["GOMP_SPINCOUNT"]) < 300_000  # libgomp's default
    assert f"GOMP_SPINCOUNT={environment['GOMP_SPINCOUNT']}" in describe_process(environment)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_environment_variables_of_the_user_stay(name: str) -> None:
    environment = {name: "chosen"}
    prepare_process(environment)
    assert environment[name] == "chosen"
    assert environment.keys() == {name, "MPLBACKEND"}
    assert f"{name}=chosen" in describe_process(environment)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_and_not_faulted_in_again() -> None:
    pages = 64 * 2**20 // resource.getpagesize()
    assert _faults("") > 5 * pages
    assert _faults("from aunet.process_settings import prepare_process; prepare_process()") < pages


def test_garbage_is_collected_less_often_than_by_default_and_is_not_sought_at_exit() -> None:
    program = (
        "import atexit, gc; before = gc.get_threshold()\n"
        "atexit.register(lambda: print(gc.get_freeze_count()))\n"
        "from aunet.process_settings import prepare_process; prepare_process(); prepare_process()\n"
        "print(gc.get_threshold()[0] // before[0], gc.isenabled(), gc.get_freeze_count())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (ratio, is_enabled, frozen), (frozen_at_exit,) = (line.split() for line in done.stdout.splitlines())
    assert int(ratio) > 1
    assert (is_enabled, frozen) == ("True", "0")
    assert int(frozen_at_exit) > 1000


def _faults(prepare: str) -> int:
    """Page faults of ten allocations of 64 MiB after a first one."""
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE.format(prepare=prepare)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.parametrize("backend", ["TkAgg", "nonsense", None])
def test_matplotlib_draws_without_a_screen(backend: str | None) -> None:
    environment = {} if backend is None else {"MPLBACKEND": backend}
    prepare_process(environment)
    assert environment["MPLBACKEND"] == "agg"
