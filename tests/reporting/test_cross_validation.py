"""Folds of a cross-validation become one run."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from aunet.errors import UserError
from aunet.metrics.case_scores import COLUMNS, NUMBERS
from aunet.reporting.compared_run import ComparedRun
from aunet.reporting.cross_validation import gather_folds

CASES = tuple("abcdef")


def fold_run(folder: Path, fold: int | None, tested: str, model: str = "unet", seed: int = 0) -> ComparedRun:
    folder.mkdir()
    config: dict[str, Any] = {"data": {"name": "ct150", "fold": fold}, "model": {"name": model}, "seed": seed}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    rest = [case_id for case_id in CASES if case_id not in tested]
    (folder / "splits.json").write_text(json.dumps({"train": rest[1:], "val": rest[:1], "test": list(tested)}))
    rows = [
        {"case_id": c, "patient": c, "class": "liver", **dict.fromkeys(NUMBERS, 0.1 * (ord(c) - 96))} for c in tested
    ]
    scores = pd.DataFrame(rows, columns=list(COLUMNS))
    names = ("background", "liver")
    return ComparedRun(folder, model, model, seed, 10, (8, 8, 8), "ct150", "f00d", True, names, scores)


def test_every_case_is_in_the_pooled_scores_once_with_its_own_folds_score(tmp_path: Path) -> None:
    runs = [fold_run(tmp_path / str(fold), fold, tested) for fold, tested in ((1, "cd"), (0, "ab"), (2, "ef"))]
    (pooled,) = gather_folds(runs)
    assert pooled.num_folds == 3
    assert pooled.folder == tmp_path / "0"
    assert pooled.scores["case_id"].tolist() == list(CASES)
    assert pooled.scores["dice"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_runs_that_differ_in_more_than_the_fold_are_pooled_apart(tmp_path: Path) -> None:
    models = ("unet", "attention")
    runs = [fold_run(tmp_path / f"{m}{f}", f, t, m) for m in models for f, t in ((0, "abc"), (1, "def"))]
    assert [(run.model, run.num_folds) for run in gather_folds(runs)] == [("unet", 2), ("attention", 2)]


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (((0, "abc"), (0, "abc")), "both are fold 0"),
        (((0, "abc"), (1, "cdef")), "c tested in more than one fold"),
        (((0, "ab"), (2, "ef")), "with folds 0, 2 no fold tests c, d"),
        (((None, "abc"), (1, "def")), r"has no fold \(data\.fold=None\)"),
    ],
)
def test_folds_that_do_not_make_one_cross_validation_are_refused(
    tmp_path: Path, folds: tuple[tuple[int | None, str], ...], message: str
) -> None:
    runs = [fold_run(tmp_path / str(number), fold, tested) for number, (fold, tested) in enumerate(folds)]
    with pytest.raises(UserError, match=message):
        gather_folds(runs)


@pytest.mark.parametrize("file", ["config.yaml", "splits.json"])
def test_a_run_that_lacks_a_file_is_refused_with_its_name(tmp_path: Path, file: str) -> None:
    run = fold_run(tmp_path / "0", 0, "abcdef")
    (run.folder / file).unlink()
    with pytest.raises(UserError, match=f"0/{file}"):
        gather_folds([run])
