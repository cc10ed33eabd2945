"""Faults of the surroundings end in one sentence and status 2, before training if they can be known."""

import contextlib
import errno
import io
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from aunet.commands import main as command_line
from aunet.commands.main import main
from aunet.config.words import path_of
from aunet.errors import UserError
from aunet.files import check_writable, replaced_atomically
from aunet.machine import ended_like_ctrl_c
from aunet.pipeline.places import claim_folder
from aunet.process_settings import prepare_process
from aunet.runs.run_folder import RunFolder
from aunet.runs.run_state import read_run_state
from aunet.terminal import LogHandler, table_console

NUMBERS = (
    "EAGAIN",
    "ENOSPC",
    "EDQUOT",
    "EACCES",
    "EROFS",
    "EISDIR",
    "ENOTDIR",
    "ENAMETOOLONG",
    "EMFILE",
    "ENOMEM",
    "EIO",
)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("file", ["/there/metrics.csv", None])
def test_an_error_of_the_system_is_one_sentence(
    name: str, file: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = int(getattr(errno, name))

    def fail(words: Sequence[str]) -> None:
        raise OSError(number, os.strerror(number), file)

    monkeypatch.setattr(command_line.train, "train", fail)
    assert main(["train"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"aunet: {file or 'a file'}: ")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "not enough memory. "),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee"), "not enough memory (CUDA out of"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "not enough memory ([enforce"),
        (RuntimeError("can't start new thread"), "the system starts no more threads"),
    ],
)
def test_a_lack_of_memory_or_threads_is_one_sentence(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: Sequence[str]) -> None:
        raise error

    monkeypatch.setattr(command_line.train, "train", fail)
    assert main(["train"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"aunet: {sentence}")
    assert message.count("\n") == 1


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: Sequence[str]) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "ours")

    monkeypatch.setattr(command_line.train, "train", fail)
    with pytest.raises(FileNotFoundError):
        main(["train"])


COMMANDS = (
    *(["predict", "run", "scan.nii"], ["evaluate", "a", "b"], ["compare", "a", "b"], ["probe", "run"]),
    *(["export", "run"], ["doctor"]),
)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_an_output_that_is_a_file_is_refused_before_any_work(
    words: list[str], below: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main([*words, "--output", str(tmp_path / "file" / below)]) == 2
    assert f"{tmp_path / 'file'} is a file. Give a folder" in capsys.readouterr().err


@pytest.mark.parametrize("words", COMMANDS)
def test_an_output_that_is_not_writable_is_refused_before_any_work(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # tests may run as root
    assert main([*words, "--output", str(tmp_path / "new" / "folder")]) == 2
    assert f"{tmp_path} is not writable" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [*([*words, "--output", ""] for words in COMMANDS), ["runs", ""], ["compare", "", "b", "--output", "c"]]
)
def test_an_empty_path_is_not_taken_for_the_current_folder(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "the path is empty, as if a shell variable were not set" in capsys.readouterr().err


def test_a_preparation_checks_its_folder_before_it_reads_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["prepare", "data=msd", "data.root=/nowhere", f"data.cache={tmp_path / 'file' / 'x'}"]) == 2
    assert f"data.cache={tmp_path / 'file' / 'x'}: {tmp_path / 'file'} is a file" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["hydra.run.dir", "data.cache"])
def test_a_training_checks_its_folders_before_it_reads_data(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["train", "data=msd", "data.root=/nowhere", f"{key}={tmp_path / 'file'}"]) == 2
    assert f"{key}={tmp_path / 'file'}: {tmp_path / 'file'} is a file" in capsys.readouterr().err


def test_a_folder_that_may_be_new_passes(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "newer", "--output")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["~/scans", "~nobody-has-this-name/scans"])
def test_a_user_without_home_gets_one_sentence(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without HOME and passwd entry
    with pytest.raises(UserError, match=r"no home folder\. Write the whole path instead of ~"):
        path_of(text)


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("No username set"), ImportError("pwd")])
def test_a_user_without_an_entry_gets_a_name_for_the_libraries(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise error

    monkeypatch.setattr("getpass.getuser", fail)
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "LD_PRELOAD": ""}
    prepare_process(environment)
    assert environment["USER"] == "user"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_takes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, name, None)  # as Python does for >&-
    monkeypatch.setattr(command_line.train, "train", lambda words: getattr(sys, name).write("a line"))
    assert main(["train"]) == 0
    getattr(sys, name).close()


@contextlib.contextmanager
def standard_output(descriptor: int) -> Generator[None]:
    """Make ``descriptor`` the standard output of the block."""
    with pytest.MonkeyPatch.context() as patch, open(descriptor, "w", encoding="utf-8") as file:
        patch.setattr(sys, "stdout", file)
        yield


def test_a_reader_that_has_ended_stops_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in ``aunet runs | head -1``, or a training whose output is piped to a program that ends."""
    reader, writer = os.pipe()
    os.close(reader)
    done: list[str] = []

    def work(words: Sequence[str]) -> None:
        for _ in range(3):
            table_console().print("a table")
            sys.stdout.write("a line\n" * 10_000)
        done.append("all")

    monkeypatch.setattr(command_line.train, "train", work)
    with standard_output(writer):
        assert main(["train"]) == 0
    assert done == ["all"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has such a file")
def test_a_full_disk_of_the_output_is_reported_after_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line.train, "train", lambda words: table_console().print("a table"))
    with standard_output(os.open("/dev/full", os.O_WRONLY)):
        assert main(["train"]) == 2
    assert capsys.readouterr().err.startswith("aunet: standard output: the disk of its file is full")


class _Closed(io.StringIO):
    num_attempts = 0

    def write(self, text: str) -> int:
        self.num_attempts += 1
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_terminal_that_is_closed_stops_no_training() -> None:
    for is_terminal in (True, False):
        handler, closed = LogHandler(), _Closed()
        handler.console = Console(file=closed, force_terminal=is_terminal)
        handler.emit(logging.LogRecord("aunet", logging.INFO, "", 0, "a line", None, None))
        assert closed.num_attempts


@pytest.fixture
def usual_signals() -> Generator[None]:
    """Signals as at the start of a command; nohup and shells' background jobs ignore some."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("is_last", [True, False])
def test_a_stop_signal_removes_unfinished_files_and_is_status_130(
    name: str, is_last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(words: Sequence[str]) -> None:
        with replaced_atomically(tmp_path / "table.csv") as temporary:
            temporary.write_text("half")
            signal.raise_signal(signal.Signals[name])

    monkeypatch.setattr(command_line.train, "train", work)
    monkeypatch.setattr(sys, "argv", ["aunet", "train"])
    assert main(None if is_last else ["train"]) == 130
    assert capsys.readouterr().err == "aunet: stopped\n"
    assert list(tmp_path.iterdir()) == []
    # While the process ends, a second one would print tracebacks of the libraries' last work.
    assert (signal.getsignal(signal.Signals[name]) == signal.SIG_IGN) == is_last


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_scheduler_that_repeats_itself_does_not_disturb_the_end(name: str) -> None:
    ended: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(signal.Signals[name])
        finally:
            signal.raise_signal(signal.Signals[name])
            ended.append(name)

    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
        work()
    assert ended == [name]
    assert signal.getsignal(signal.Signals[name]) == signal.SIG_DFL


@pytest.mark.usefixtures("usual_signals")
def test_a_later_signal_is_a_new_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception of the first is lost if it is raised while Python starts a process, for one."""
    clock = iter([0.0, 0.0, 1.0, 60.0, 60.0])
    monkeypatch.setattr("aunet.machine.time", SimpleNamespace(monotonic=lambda: next(clock)))

    raised: list[bool] = []
    with ended_like_ctrl_c():
        for _ in range(3):
            try:
                signal.raise_signal(signal.SIGTERM)
                raised.append(False)
            except KeyboardInterrupt:
                raised.append(True)
    assert raised == [True, False, True]


@pytest.mark.usefixtures("usual_signals")
def test_a_signal_in_a_destructor_which_drops_exceptions_still_ends_the_work() -> None:
    class Freed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def work() -> None:
        Freed()
        time.sleep(60)  # ends as soon as the signal comes again

    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
        work()


@pytest.mark.usefixtures("usual_signals")
def test_nohup_keeps_a_command_alive() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ended_like_ctrl_c():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_of_the_terminal_will_do(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    monkeypatch.setattr(command_line.train, "train", lambda words: sys.stdout.write("0.5 ± 0.1 │ größer ≥ Ω\n"))
    assert main(["train"]) == 0
    assert b"0.1" in raw.getvalue()


def test_a_table_reaches_a_terminal_of_ascii(repository: Path) -> None:
    run = repository / "tests" / "fixtures" / "old_run"
    done = subprocess.run(
        [sys.executable, "-m", "aunet.commands.main", "runs", str(run)],
        cwd=repository,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert b"attention" in done.stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(name, content, marks=() if kept == content else pytest.mark.slow)
        for name, kept in (("run.json", ""), ("metrics.csv", "\0\0\0"), ("config.yaml", "[1"))
        for content in ("", "\0\0\0", "[1")
    ],
)
def test_an_empty_or_damaged_file_of_a_run_is_one_sentence_or_not_recorded(
    name: str, content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], repository: Path
) -> None:
    for file in (repository / "tests" / "fixtures" / "old_run" / "unet").glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_text(content)
    assert main(["runs", str(tmp_path)]) == 0
    assert read_run_state(tmp_path).folder == tmp_path
    for words in (["compare", tmp_path, tmp_path, "--output", tmp_path / "out"], ["train", f"resume={tmp_path}"]):
        assert main([*map(str, words)]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err
    assert RunFolder(tmp_path).path.is_dir()


def test_runs_that_start_together_get_a_folder_each(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "ct150" / "unet" / "2026-11-26_09-00-00"
    names = [claim_folder(folder).name for _ in range(4)]
    assert names == [folder.name, f"{folder.name}_2", f"{folder.name}_3", f"{folder.name}_4"]


def test_processes_that_start_together_get_a_folder_each(tmp_path: Path, repository: Path) -> None:
    program = (
        "import sys, pathlib; from aunet.pipeline.places import claim_folder\n"
        "sys.stdin.readline(); print(claim_folder(pathlib.Path(sys.argv[1])).name)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, cwd=repository, stdin=pipe, stdout=pipe, text=True, encoding="utf-8")
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(process.communicate(timeout=60)[0] for process in processes) == ["run\n", "run_2\n", "run_3\n"]
