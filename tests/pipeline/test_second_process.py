"""Work of a second process: its results and errors come back, and its death costs nothing but time."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from aunet.pipeline.second_process import Work, Worker, second_process


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aunet.pipeline.second_process.count_cores", lambda: 2)


def unless_here(words: str) -> Callable[[], object]:
    """Return a function that can be sent, which evaluates ``words`` in any process but this one."""
    return partial(eval, f"__import__('os').getpid() == {os.getpid()} or {words}")


def test_another_process_does_the_work_one_piece_after_the_other() -> None:
    with second_process(["json"]) as worker:
        first, second = worker.begin(os.getpid), worker.begin(partial(divmod, 17, 5))
        assert (first.result(), second.result()) == (first.result(), (3, 2))
        assert first.result() != os.getpid()
        assert first.is_ready


def test_the_modules_are_imported_before_the_first_piece_of_work() -> None:
    with second_process(["this"]) as worker:
        assert worker.begin(partial(eval, "'this' in __import__('sys').modules")).result() is True


def test_an_error_is_raised_here_with_its_lines_there_and_the_process_continues() -> None:
    with second_process([]) as worker:
        failed = worker.begin(partial(divmod, 1, 0))
        failed.wait()
        assert not failed.is_ready
        with pytest.raises(ZeroDivisionError) as caught:
            failed.result()
        assert "Traceback" in caught.value.__notes__[0]
        assert worker.begin(os.getpid).result() != os.getpid()


def test_a_process_that_dies_leaves_its_work_and_all_later_work_to_this_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "aunet"), second_process([]) as worker:
        assert worker.begin(unless_here("__import__('os')._exit(3)")).result() is True
        assert worker.begin(os.getpid).result() == os.getpid()
    assert caplog.text.count("has died") == 1


def test_one_core_does_the_work_when_its_result_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aunet.pipeline.second_process.count_cores", lambda: 1)
    calls: list[int] = []
    with second_process(["no_such_module"]) as worker:
        work = worker.begin(partial(calls.append, 1))
        work.wait()
        assert (calls, work.is_ready) == ([], False)
        work.result()
    assert calls == [1]


def test_a_process_that_cannot_be_started_is_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with caplog.at_level(logging.INFO, "aunet"), second_process([]) as worker:
        assert worker.begin(os.getpid).result() == os.getpid()
    assert "No second process can be started" in caplog.text


def test_the_process_ends_with_the_block_whatever_it_does() -> None:
    with suppress(KeyboardInterrupt), second_process([]) as worker:
        process = worker.begin(os.getpid).result()
        worker.begin(unless_here("__import__('time').sleep(600)"))
        raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def test_ctrl_c_in_a_terminal_reaches_the_first_process_alone() -> None:
    with second_process([]) as worker:
        process = worker.begin(os.getpid).result()
        assert worker.begin(os.getpgrp).result() == process != os.getpgrp()


def test_a_script_without_a_guard_runs_once(tmp_path: Path, repository: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nimport aunet.pipeline.second_process as module\nmodule.count_cores = lambda: 2\nprint('begun')\n"
        "with module.second_process([]) as worker:\n    print(worker.begin(os.getpid).result() != os.getpid())\n"
    )
    done = subprocess.run([sys.executable, script], cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["begun", "True"], done.stderr


def test_work_without_a_process_is_a_call() -> None:
    assert Work(list).result() == Worker().begin(list).result() == []
