"""Which runs are comparable, how the others are refused, and how each is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_runs import case_scores, compared_run

from aunet.errors import UserError
from aunet.evaluation.comparability import (
    check_comparable,
    check_differences,
    share_what_is_known_of_cases,
    with_unique_names,
)
from aunet.evaluation.setting_differences import setting_differences


def renamed(first: str, second: str) -> Any:
    scores = case_scores([0.5, 0.7])
    return scores.assign(case_id=scores["case_id"].map({"case_0": first, "case_1": second}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data": "msd"}, r"one was scored on ct150 \(phantom\), the other on msd \(phantom\)"),
        ({"is_phantom": False}, r"the other on ct150 \(real scans\)"),
        ({"class_names": ("background", "liver", "spleen")}, "their classes are"),
        ({"scores": renamed("case_1", "c")}, "only first was tested on case_0; only second was tested on c"),
        ({"data_fingerprint": "beef"}, "the files of ct150 changed"),
        ({"scores": case_scores([0.5, 0.7], reference_ml=91.0)}, "the reference labels of case_0, case_1 differ"),
    ],
    ids=["data", "phantom", "classes", "cases", "files", "references"],
)
def test_runs_scored_on_different_things_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=f"first and second cannot be compared: .*{expected}"):
        check_comparable([compared_run(), compared_run("second", **changes)])


def test_runs_of_other_regions_are_refused() -> None:
    regions = [[[1, 2], [2]], [[1, 2], [1]]]
    runs = [compared_run(folder, {"dataset.regions": of}) for folder, of in zip(("a", "b"), regions, strict=True)]
    with pytest.raises(UserError, match=r"regions \[\[1, 2\], \[2\]\], the other on \[\[1, 2\], \[1\]\]"):
        check_comparable(runs)
    check_comparable([runs[0], runs[0]])


def test_test_cases_may_differ_only_if_folds_may_be_missing() -> None:
    runs = [compared_run(), compared_run("second", scores=renamed("case_0", "c"))]
    check_comparable(runs, may_miss=True)
    with pytest.raises(UserError, match=r"only first was tested on case_1; only second was tested on c\. Train both"):
        check_comparable(runs)


def test_every_run_is_compared_with_the_first() -> None:
    with pytest.raises(UserError, match="first and third cannot be compared"):
        check_comparable([compared_run(), compared_run("second"), compared_run("third", data="msd")])


def test_runs_scored_on_the_same_things_may_differ_in_all_else() -> None:
    check_comparable([compared_run(), compared_run("second", model="attention", seed=1, parameters=1)])


def test_another_loss_fewer_epochs_and_fewer_cases_are_refused_with_both_values() -> None:
    settings = {"model.name": "attention", "loss.name": "dice", "loss.function.batch": True, "trainer.max_epochs": 6}
    training = {"train": frozenset("abcd"), "epochs": 6}
    runs = [compared_run(), compared_run("second", settings, training, model="attention")]

    with pytest.raises(UserError, match="--allow-differences") as told:
        check_differences(runs, setting_differences(runs))

    assert "loss (loss.name and 1 more): dice_ce against dice; " in str(told.value)
    assert "epochs (trainer.max_epochs and 1 more): 12 against 6; training cases: 8 (4 not in all" in str(told.value)


def test_runs_that_differ_in_their_model_and_seed_are_not_refused() -> None:
    runs = [compared_run(), compared_run("second", {"model.network.norm": "group", "seed": 1}, model="attention")]

    check_differences(runs, setting_differences(runs))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([{"model": "attention"}], ["unet", "attention"]),
        ([{"settings": {"model.network.norm": "group"}}], ["unet, norm=batch", "unet, norm=group"]),
        ([{"settings": {"loss.name": "dice", "loss.function.x": 1}}], ["loss=dice_ce", "loss=dice"]),
        ([{"settings": {"optimizer.factory.lr": 0.01}}], ["lr=0.001", "lr=0.01"]),
        ([{"training": {"val": frozenset("k")}}], None),
        ([{"settings": {"seed": 1}, "seed": 1}], ["unet, seed 0", "unet, seed 1"]),
        ([{}], ["unet, first", "unet, run_1"]),
        (
            [
                {"model": "attention", "settings": {"model.network.norm": "group"}},
                {"model": "attention", "settings": {"model.network.norm": "group", "trainer.max_epochs": 6}},
            ],
            ["unet, max_epochs=12", "attention, max_epochs=12", "attention, max_epochs=6"],
        ),
    ],
    ids=["model", "part of the model", "loss", "one setting", "cases", "seed", "folder", "model and epochs"],
)
def test_runs_are_named_by_what_distinguishes_them(others: list[dict[str, Any]], expected: list[str] | None) -> None:
    runs = [compared_run(), *(compared_run(f"run_{number}", **of) for number, of in enumerate(others, start=1))]

    names = [named.name for named in with_unique_names(runs, setting_differences(runs))]

    assert names == expected if expected else len(set(names)) == len(runs)


def test_runs_of_equal_folder_names_are_named_by_their_whole_folder() -> None:
    named = with_unique_names([compared_run("monday/0"), compared_run("friday/0")], [])

    assert [one.name for one in named] == [f"unet, {Path('monday/0')}", f"unet, {Path('friday/0')}"]


def test_a_run_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="given twice"):
        with_unique_names([compared_run(), compared_run("other/../first")], [])


def test_an_older_run_takes_patients_and_diagonals_from_a_newer_one() -> None:
    newer = compared_run(scores=case_scores([0.5, 0.7], ["Ann", "Ann"], diagonal_mm=500.0))
    older = compared_run("second", scores=case_scores([0.5, 0.7], ["", ""], diagonal_mm=np.nan), unit="case")

    for run in share_what_is_known_of_cases([older, newer]):
        assert run.unit == "patient"
        assert set(run.scores["patient"]) == {"Ann"}
        assert set(run.scores["diagonal_mm"]) == {500.0}


def test_a_fold_that_one_run_lacks_keeps_what_the_other_knows() -> None:
    first = compared_run(scores=case_scores([0.5, 0.7], ["Ann", "Ann"], diagonal_mm=500.0))
    more = case_scores([0.5, 0.7, 0.9], ["x", "y", "Bob"], diagonal_mm=np.nan)
    more.loc[more["case_id"] == "case_2", "diagonal_mm"] = 300.0
    second = share_what_is_known_of_cases([first, compared_run("second", scores=more)])[1]

    assert second.scores["patient"].tolist() == ["Ann"] * 4 + ["Bob"] * 2
    assert second.scores["diagonal_mm"].tolist() == [500.0] * 4 + [300.0] * 2


def test_patients_that_gather_cases_go_to_a_run_that_counts_each_case_as_one() -> None:
    scores = case_scores([0.5, 0.7])
    runs = [compared_run(scores=scores), compared_run("second", scores=scores.assign(patient="Ann"))]

    for run in share_what_is_known_of_cases(runs):
        assert set(run.scores["patient"]) == {"Ann"}
