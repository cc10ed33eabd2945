"""A run's files are named in one place, and older or damaged folders are read as far as they go."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aunet.errors import UserError
from aunet.runs.run_folder import RunFolder, checkpoint_of_run, is_run_folder, run_of_checkpoint

FILES = {
    "config.yaml",
    "run.json",
    "splits.json",
    "metrics.csv",
    "timing.csv",
    "run.lock",
    "case_scores.csv",
    "summary.json",
    "statistics.csv",
    "class_names.json",
    "last.ckpt",
    "previous.ckpt",
    "best.ckpt",
    "failed_batch.pt",
}
PARTS = {"report.html", "checkpoints", "attention", "test", "predictions", "region", "wandb"}


def _places_of_names(file: Path) -> Iterator[int]:
    """Yield the lines of ``file`` with a string that is the name of a run's file, or a path into a run's folder."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in FILES:
            yield node.lineno
        if isinstance(node, ast.BinOp) and isinstance(node.right, ast.Constant) and node.right.value in PARTS:
            yield node.lineno


def test_the_names_of_a_runs_files_are_in_two_modules(repository: Path) -> None:
    known = {"run_folder.py", "inner_folders.py"}
    files = [file for file in (repository / "aunet").rglob("*.py") if file.name not in known]
    found = [f"{file.relative_to(repository)}:{line}" for file in files for line in _places_of_names(file)]
    assert not found, found
    assert list(_places_of_names(repository / "aunet" / "runs" / "run_folder.py"))


def test_an_empty_folder_reads_as_nothing_recorded(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert (run.read_record(), run.read_splits(), run.read_config()) == ({}, {}, {})
    assert (run.read_epochs(), run.case_scores) == ([], None)
    assert not is_run_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("run.json", b'{"status": ', RunFolder.read_record),
        ("run.json", b"[1]", RunFolder.read_record),
        ("splits.json", b"\xff\xfe\x00", RunFolder.read_splits),
        ("config.yaml", b"a: [", RunFolder.read_config),
        ("config.yaml", b"- 1", RunFolder.read_config),
        ("metrics.csv", b"epoch\n\xff\xfe", RunFolder.read_epochs),
    ],
)
def test_a_damaged_file_is_named_in_one_message(
    name: str, content: bytes, read: Callable[[RunFolder], object], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}.*Restore the run's own file"):
        read(RunFolder(tmp_path))


def test_the_best_checkpoint_comes_before_the_last_and_the_previous(tmp_path: Path) -> None:
    checkpoints = RunFolder(tmp_path).checkpoints
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoint_of_run(tmp_path)
    checkpoints.path.mkdir()
    for path in (checkpoints.previous, checkpoints.last, checkpoints.best):
        path.touch()
        assert checkpoint_of_run(tmp_path) == path


def test_a_checkpoint_belongs_to_the_run_whose_configuration_is_beside_its_folder(tmp_path: Path) -> None:
    checkpoint = RunFolder(tmp_path).checkpoints.best
    assert run_of_checkpoint(checkpoint) is None
    RunFolder(tmp_path).config.touch()
    assert run_of_checkpoint(checkpoint) == RunFolder(tmp_path)
    assert run_of_checkpoint(tmp_path / "elsewhere" / "best.ckpt") is None


def test_films_volumes_and_pictures_are_found_by_the_names_under_which_they_are_written(tmp_path: Path) -> None:
    attention = RunFolder(tmp_path).attention
    film, volume, picture = attention.film("case 1"), attention.volume("case 1", 12), attention.picture("case 1", 12)
    for path in (film, volume, picture):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert (attention.films, attention.volumes, attention.pictures) == ([film], [volume], [picture])
    assert attention.case_of_film(film) == "case 1"
    assert attention.epoch_of(volume) == attention.epoch_of(picture) == 12
