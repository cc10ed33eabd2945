"""Folds of a cross-validation become one run."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aunet.errors import UserError
from aunet.evaluation.compared_run import ComparedRun, Training
from aunet.evaluation.cross_validation import gather_folds
from aunet.metrics.case_scores import COLUMNS, NUMBERS

CASES = tuple("abcdef")


def fold_run(folder: Path, fold: int | None, tested: str, model: str = "unet", **changes: Any) -> ComparedRun:
    rest = frozenset(CASES) - frozenset(tested)
    values = {case_id: dict.fromkeys(NUMBERS, 0.1 * (ord(case_id) - 96)) for case_id in tested}
    rows = [{"case_id": case_id, "patient": case_id, "class": "liver", **values[case_id]} for case_id in tested]
    return ComparedRun(
        folder,
        model,
        model,
        seed=0,
        parameters=10,
        patch_size=(8, 8, 8),
        data="ct150",
        data_fingerprint="f00d",
        is_phantom=True,
        class_names=("background", "liver"),
        scores=pd.DataFrame(rows, columns=list(COLUMNS)),
        settings={"data.fold": fold, "model.network.kind": model},
        **{
            "unit": "patient",
            "trainings": (Training(train=rest - {min(rest, default="")}, val=frozenset(), test=frozenset(tested)),),
            **changes,
        },
    )


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


def test_a_run_that_lacks_its_splits_is_refused(tmp_path: Path) -> None:
    run = fold_run(tmp_path / "0", 0, "abcdef", trainings=(Training(),))
    with pytest.raises(UserError, match=r"0/splits\.json"):
        gather_folds([run])


def test_pooled_folds_keep_their_trainings_and_caveats_and_what_all_of_them_recorded(tmp_path: Path) -> None:
    older = fold_run(tmp_path / "0", 0, "abc", caveats=("Stopped by the clock.",), metrics=("dice", "voxel_assd_mm"))
    newer = fold_run(tmp_path / "1", 1, "def", caveats=("Stopped by the clock.",))

    [pooled] = gather_folds([older, newer])

    assert [training.test for training in pooled.trainings] == [frozenset("abc"), frozenset("def")]
    assert (pooled.caveats, pooled.metrics) == (("Stopped by the clock.",), ("dice", "voxel_assd_mm"))


def test_folds_that_are_missing_become_a_caveat_if_they_may(tmp_path: Path) -> None:
    first, third = fold_run(tmp_path / "0", 0, "ab"), fold_run(tmp_path / "2", 2, "c")

    [pooled] = gather_folds([third, first], may_miss=True)
    assert pooled.caveats == ("With folds 0, 2 no fold tests 3 cases: d, e, f.",)
    assert [training.fold for training in pooled.trainings] == [0, 2]
    [alone] = gather_folds([fold_run(tmp_path / "1", 1, "abcd")], may_miss=True)
    assert alone.caveats == ("With fold 1 no fold tests 1 case: f.",)


def test_pooled_folds_count_cases_if_one_of_them_knows_no_patients(tmp_path: Path) -> None:
    runs = [fold_run(tmp_path / "0", 0, "abc", unit="group"), fold_run(tmp_path / "1", 1, "def")]
    assert gather_folds(runs)[0].unit == "group"
    runs[1] = fold_run(tmp_path / "1", 1, "def", unit="case")
    assert gather_folds(runs)[0].unit == "case"
