from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from compared_runs import case_scores, compared_run

from aunet.errors import UserError
from aunet.evaluation.arms import Arm, arms_of_study, gather_arms, tidy_scores
from aunet.evaluation.compared_run import ComparedRun, Training
from aunet.evaluation.effects import TIDY, paired_effect

GATED = {"model.name": "attention", "model.network.norm": "group"}


def unet(seed: int, **changes: Any) -> ComparedRun:
    return compared_run(f"unet {seed}", {"seed": seed}, seed=seed, name=f"unet, seed {seed}", **changes)


def attention(seed: int, **changes: Any) -> ComparedRun:
    return compared_run(
        f"attention {seed}",
        {"seed": seed, **GATED},
        seed=seed,
        model="attention",
        name=f"attention, seed {seed}",
        **changes,
    )


def test_runs_are_grouped_by_their_settings_without_the_seed_and_named_by_the_model() -> None:
    arms = gather_arms([unet(1), attention(0), unet(0), attention(3)])

    assert [arm.name for arm in arms] == ["unet", "attention"]
    assert [[run.seed for run in arm.runs] for arm in arms] == [[0, 1], [0, 3]]


def test_seeds_of_one_model_are_compared_with_each_other() -> None:
    arms = gather_arms([unet(0), unet(1)])
    assert [arm.name for arm in arms] == ["unet, seed 0", "unet, seed 1"]


def test_a_seed_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match=r"unet 1 and again: both are seed 1"):
        gather_arms([unet(1), attention(0), replace(unet(1), folder=Path("again"))])


def test_scores_become_a_row_each_with_the_fold_that_tested_the_case() -> None:
    folds = (Training(test=frozenset({"case_0"})), Training(test=frozenset({"case_1"})))
    table = tidy_scores(gather_arms([unet(0, trainings=folds), attention(0, trainings=folds)]))

    assert tuple(table.columns) == TIDY
    dices = table[(table["metric"] == "dice") & (table["class"] == "pancreas")]
    assert dices["fold"].tolist() == [0, 1, 0, 1]
    assert dices["value"].tolist() == [0.5, 0.7, 0.5, 0.7]


def test_a_metric_that_one_training_of_an_arm_lacks_is_left_out_for_that_arm() -> None:
    table = tidy_scores(gather_arms([unet(0), unet(1, metrics=("dice",)), attention(0)]))
    assert set(table.loc[table["metric"] == "assd_mm", "arm"]) == {"attention"}


def test_arms_of_one_seed_and_of_several_go_through_the_same_effect() -> None:
    dices = [0.1, 0.3, 0.2, 0.6, 0.5, 0.4, 0.7]
    runs = [unet(seed, scores=case_scores([dice + seed / 100 for dice in dices])) for seed in (0, 1)]
    table = tidy_scores(gather_arms([*runs, attention(0, scores=case_scores(dices))]))

    of_dice = table[(table["metric"] == "dice") & (table["class"] == "pancreas")]
    found = paired_effect(of_dice[of_dice["arm"] == "unet"], of_dice[of_dice["arm"] == "attention"])
    assert found.mean == pytest.approx(-0.005)
    assert (found.baseline_trainings, found.other_trainings, found.speaks_of_models) == (2, 1, True)


def test_arms_of_a_study_whose_trainings_failed_are_kept_in_its_order() -> None:
    common = "experiment=gate_or_not data=ct150 "
    words = {
        "unet 0": "model=unet",
        "unet 1": "model=unet",
        "open 0": "model=attention_open",
        "attention 0": "model=attention",
    }
    arm_of_folder = {Path(folder): common + arm for folder, arm in words.items()}
    arms = arms_of_study([attention(0), unet(0)], arm_of_folder, [Path("unet 0"), Path("attention 0")])

    assert [arm.name for arm in arms] == ["unet", "attention_open", "attention"]
    assert [len(arm.runs) for arm in arms] == [1, 0, 1]
    assert [arm.missing for arm in arms] == [("unet 1",), ("open 0",), ()]


def test_arms_are_named_by_the_overrides_that_differ() -> None:
    words = {"a": "model=unet data.split.train=15", "b": "model=unet data.split.train=30"}
    arms = arms_of_study([], {Path(folder): arm for folder, arm in words.items()}, [])
    assert [arm.name for arm in arms] == ["train=15", "train=30"]


def test_arms_without_a_finished_training_have_no_scores() -> None:
    table = tidy_scores([Arm("failed", (), ("failed seed 0",))])
    assert table.empty
    assert tuple(table.columns) == TIDY
