"""The package does without the parts of the system that macOS and Windows lack."""

import ast
import errno
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import aunet.machine
from aunet.files import held_alone
from aunet.runs.run_lock import is_locked, locked_folder

# Modules that Windows lacks, and attributes that macOS or Windows lacks.
ABSENT_MODULES = {"fcntl", "resource", "pwd", "grp", "termios"}
ABSENT_ATTRIBUTES = {"sched_getaffinity", "sysconf", "getuid", "fork", "posix_fadvise", "statvfs", "mkfifo"}


@pytest.mark.parametrize("has_own_path", [True, False], ids=["machine", "container"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_limit_of_the_memory_counts_in_either_version_of_control_groups(
    version: int, has_own_path: bool, tmp_path: Path
) -> None:
    limit, used, cached, mount = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", tmp_path / "memory"),
        2: ("memory.max", "memory.current", "inactive_file", tmp_path),
    }[version]
    job = mount / "job" if has_own_path else mount
    (job / "step").mkdir(parents=True)
    for folder, most in ((job, "8000"), (job / "step", "max")):
        (folder / limit).write_text(f"{most}\n")
        (folder / used).write_text("5000\n")
        (folder / "memory.stat").write_text(f"anon 3000\n{cached} 1500\n")
    own = tmp_path / "cgroup"
    path = "job/step" if has_own_path else "elsewhere/job"
    own.write_text(f"3:cpuset:/{path}\n" + (f"4:memory:/{path}\n" if version == 1 else f"0::/{path}\n"))
    assert aunet.machine._group_memory(own, tmp_path) == [(8000, 3500)]
    assert aunet.machine._group_memory(tmp_path / "absent", tmp_path) == []


def test_the_free_memory_of_linux_is_what_it_calls_available_unless_a_group_has_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups: list[tuple[int, int]] = []
    text = "MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:   4096 kB"
    monkeypatch.setattr(aunet.machine, "_group_memory", lambda: groups)
    monkeypatch.setattr(aunet.machine, "memory_bytes", lambda: 2**30)
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    assert aunet.machine.available_memory_bytes() == 4 * 2**20
    groups.append((3 * 2**20, 2**20))
    assert aunet.machine.available_memory_bytes() == 2 * 2**20
    text = "MemTotal:  9000 kB"
    assert aunet.machine.available_memory_bytes() == 2**30


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Load ``aunet.machine`` as on a system without these parts."""
    for name in ("fcntl", "resource"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("sched_getaffinity", "sysconf"):
        monkeypatch.delattr(os, name)
    importlib.reload(aunet.machine)
    yield
    monkeypatch.undo()
    importlib.reload(aunet.machine)


def write_processes(folder: Path, total: str, processes: dict[int, tuple[int, str]]) -> None:
    """Write the files of Linux that count clock ticks: of the machine, and parent and ticks of each process."""
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text(f"cpu  {total} 900 0 0 0 0 0 0\ncpu0 0 0\n")
    for process, (parent, ticks) in processes.items():
        (folder / str(process)).mkdir(exist_ok=True)
        name = "(a) S 1 2)"  # any process may choose such a name
        (folder / str(process) / "stat").write_text(f"{process} {name} S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 20 0 1\n")


def test_the_work_of_others_is_that_of_the_machine_without_this_process_and_its_descendants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, second = iter([100.0, 102.0]), os.sysconf("SC_CLK_TCK")
    monkeypatch.setattr(aunet.machine.time, "perf_counter", lambda: next(clock))
    write_processes(tmp_path, "300 20 40", {1: (0, "7 7 0 0"), 30: (1, "9 5 0 0"), 20: (1, "40 10 3 2")})
    others = aunet.machine.OtherWork(tmp_path, own=20)
    own = {20: (1, f"{40 + second} 10 3 2"), 21: (20, f"5 {second} 0 0"), 22: (21, f"0 0 {second} 5")}
    write_processes(tmp_path, f"{300 + 5 * second} 20 {50 + second}", own)
    assert others.busy_cores() == pytest.approx((6 - 3) / 2)


def test_a_system_without_such_files_counts_no_other_work(tmp_path: Path) -> None:
    assert aunet.machine.OtherWork(tmp_path).busy_cores() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the processor time of others")
def test_a_busy_process_of_ones_own_is_not_the_work_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 1.0, 1.0])
    monkeypatch.setattr(aunet.machine.time, "perf_counter", lambda: next(clock))
    code = "import time\nwhile time.process_time() < 1: pass\nprint(flush=True); input()"
    apart = aunet.machine.OtherWork(own=2**31)  # no such process: all work is that of others
    others = aunet.machine.OtherWork()
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        assert apart.busy_cores() - others.busy_cores() >= 0.9
        busy.kill()


@pytest.mark.usefixtures("bare")
def test_facts_have_a_value_where_the_system_reports_none() -> None:
    assert aunet.machine.count_cores() == (os.cpu_count() or 1)
    assert aunet.machine.memory_bytes() == 8 * 2**30
    assert aunet.machine.peak_memory_bytes() == 0
    with pytest.raises(OSError, match="no such locks") as raised:
        aunet.machine.lock_file(0)
    assert raised.value.errno == errno.ENOLCK


def test_facts_are_those_of_this_system() -> None:
    assert aunet.machine.count_cores() == len(os.sched_getaffinity(0))
    assert 2**20 < aunet.machine.available_memory_bytes() < aunet.machine.memory_bytes()
    assert aunet.machine.memory_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 2**20 < aunet.machine.peak_memory_bytes() < aunet.machine.memory_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems report the peak of the starting process too")
def test_the_peak_memory_is_not_that_of_the_process_which_started_this_one() -> None:
    held = np.ones(2**28, np.uint8)  # 256 MiB
    words = [sys.executable, "-c", "from aunet.machine import peak_memory_bytes as peak; print(peak())"]
    assert int(subprocess.run(words, capture_output=True, text=True, check=True).stdout) < held.nbytes // 2


def test_without_locks_a_run_warns_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aunet.machine.fcntl", None)
    with locked_folder(tmp_path), held_alone(tmp_path / "store.lock"):
        assert not is_locked(tmp_path)
    assert "make sure that no second process trains in it" in caplog.text


def _uses(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            yield node.attr


def test_only_one_module_uses_what_some_systems_lack(repository: Path) -> None:
    users: dict[str, set[str]] = {}
    for file in (repository / "aunet").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if found := {*_uses(tree)} & (ABSENT_MODULES | ABSENT_ATTRIBUTES):
            users[file.relative_to(repository).as_posix()] = found
    assert set(users) == {"aunet/machine.py"}, users


@pytest.mark.slow
def test_every_module_loads_and_a_configuration_is_made_without_these_parts(repository: Path) -> None:
    program = (
        "import os, pkgutil, importlib, signal, sys\n"
        "import torch, monai, pytorch_lightning, pandas, matplotlib, submitit, optuna\n"  # themselves made for all
        "import blosc2, nibabel, pydicom, wandb\n"
        "for name in ('fcntl', 'resource'): sys.modules[name] = None\n"
        "for name in ('sched_getaffinity', 'sysconf', 'killpg'): delattr(os, name)\n"
        "for name in ('SIGUSR1', 'SIGUSR2'): delattr(signal, name)\n"
        "import aunet\n"
        "for found in pkgutil.walk_packages(aunet.__path__, 'aunet.'):\n"
        "    if '.standalone.' not in found.name:\n"  # scripts that are copied out of the package
        "        importlib.import_module(found.name)\n"
        "from aunet.commands.main import main\n"
        "sys.exit(main(['train', '--cfg', 'model=unet']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
