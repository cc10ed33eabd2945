"""The command line's answers and exit status."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import aunet
from aunet.commands import main as command_line
from aunet.errors import UserError
from aunet.terminal import LogHandler

HEAVY = ("torch", "monai", "pytorch_lightning", "hydra", "wandb", "pandas", "scipy", "matplotlib", "nibabel", "optuna")


def _train_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_it(words: Sequence[str]) -> None:
        raise error

    monkeypatch.setattr(command_line.train, "train", raise_it)


def test_a_users_mistake_is_one_message_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _train_raises(UserError("data.root=/nowhere: no such folder."), monkeypatch)
    assert command_line.main(["train"]) == 2
    assert capsys.readouterr().err == "aunet: data.root=/nowhere: no such folder.\n"


def test_ctrl_c_is_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _train_raises(KeyboardInterrupt(), monkeypatch)
    assert command_line.main(["train"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _train_raises(ZeroDivisionError(), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        command_line.main(["train"])


def test_training_gets_its_words_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[str] = []
    monkeypatch.setattr(command_line.train, "train", received.extend)
    assert command_line.main(["train", "-m", "model=unet,attention", "seed=0"]) == 0
    assert received == ["-m", "model=unet,attention", "seed=0"]


@pytest.mark.parametrize("words", [[], ["trian"], ["predict"], ["compare", "run"]])
def test_words_that_make_no_command_are_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(words) == 2
    assert "usage: aunet" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["train", "search", "info", "doctor", "runs", "prepare", "predict", "evaluate", "compare"]
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main([command, "--help"]) == 0
    assert f"usage: aunet {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        *(["train", "--multiru"], ["search", "--trial", "3"], ["info", "--js"], ["doctor", "--fi"]),
        *(["prepare", "--verif"], ["runs", "--js"], ["predict", "run", "scan.nii", "--output", "x", "--devic", "cpu"]),
        *(
            ["export", "run", "--output", "x", "--format", "onnx"],
            ["evaluate", "a", "b", "--output", "x", "--trus", "m"],
        ),
        *(["compare", "a", "b", "--output", "x", "--trus", "m"], ["probe", "run", "--output", "x", "--max", "1"]),
        *(["postprocess", "run", "--devic", "cpu"], ["--vers"]),
    ],
)
def test_an_option_is_written_out(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(words) == 2
    [abbreviated] = [word for word in words if word.startswith("--") and word != "--output"]
    said = capsys.readouterr().err
    assert abbreviated in said
    assert "no such option" in said or "unrecognized arguments" in said or words == ["--vers"]


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["--version"]) == 0
    assert capsys.readouterr().out == f"aunet {aunet.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [[], ["train"], ["search"], ["info"], ["doctor"], ["prepare"], ["predict"]],
)
def test_help_loads_nothing_heavy(words: list[str], repository: Path) -> None:
    program = (
        "import sys; from aunet.commands.main import main\n"
        f"assert main({[*words, '--help']}) == 0\n"
        f"loaded = set({HEAVY}) & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr


def test_train_py_reports_a_misspelled_override_with_status_2(repository: Path, tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, repository / "train.py", "modle=attention"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 2
    assert process.stderr == "aunet: modle=attention: there is no key or group 'modle'. Did you mean model?\n"
    assert process.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["word " * 60, "/a/path/" + "x" * 200, "two\nlines"])
def test_a_message_in_a_file_or_pipe_is_not_wrapped(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("aunet", logging.WARNING, "file", 1, "read %s", (text,), None)
    LogHandler().emit(record)
    assert capsys.readouterr().err == f"WARNING  read {text}\n"
