"""Which settings differ between runs, and which of them forbid a comparison."""

from dataclasses import replace
from typing import Any

import pytest
from compared_runs import compared_run

from aunet.evaluation.compared_run import Training
from aunet.evaluation.setting_differences import (
    has_equal_settings,
    model_differences,
    refused_concerns,
    setting_differences,
)


def concerns(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return list(refused_concerns(setting_differences([compared_run(**first), compared_run("second", **second)])))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"loss.name": "dice", "loss.function._target_": "monai.losses.DiceLoss"}, ["loss"]),
        ({"loss.function.smooth_nr": 1.0}, ["loss"]),
        ({"optimizer.factory.lr": 0.01}, ["optimizer"]),
        ({"optimizer.schedule.power": 1.0}, ["learning rate schedule"]),
        ({"data.augmentation.elastic": 0.3}, ["augmentation"]),
        ({"data.window": [-100, 100]}, ["intensity window"]),
        ({"data.classes": {"kidney": [3, 4]}}, ["data"]),
        ({"dataset.spacing": [1.0, 1.0, 1.0]}, ["spacing"]),
        ({"dataset.patch_size": [8, 8, 8]}, ["patch"]),
        ({"dataset.batch_size": 4}, ["batch size"]),
        ({"trainer.max_epochs": 6}, ["epochs"]),
        ({"trainer.batches_per_epoch": 10}, ["batches per epoch"]),
        ({"trainer.max_time": "00:00:10:00"}, ["training time"]),
        ({"trainer.accumulate": 2}, ["accumulated batches"]),
        ({"trainer.ema": 0.99}, ["weight average"]),
        ({"trainer.gradient_clip": None}, ["gradient clipping"]),
        ({"trainer.a_key_of_tomorrow": 1}, ["training"]),
        ({"init": "outputs/other"}, ["initial weights"]),
        ({"inference.overlap": 0.25}, ["prediction"]),
        ({"a_group_of_tomorrow.key": 1}, ["a_group_of_tomorrow"]),
    ],
    ids=lambda value: next(iter(value)),
)
def test_settings_that_shape_training_or_scoring_forbid_a_comparison(
    settings: dict[str, Any], expected: list[str]
) -> None:
    assert concerns({}, {"settings": settings}) == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"model.name": "attention", "model.network._target_": "aunet.networks.AttentionUNet"},
        {"data.cache": "/elsewhere", "data.root": "/mnt/scans", "data.source.root": "/mnt/scans"},
        {"data.num_workers": 4, "inference.window_batch": 1, "store_budget": 10.0},
        {"logger.name": "csv", "attention.cases": 3, "trainer.name": "mine", "trainer.checkpoint_minutes": 1},
        {"data.split.train": 0.7, "data.spacing": None},  # splits.json and dataset.spacing hold what came of them
        {"dataset.spacing": [2, 2, 2]},
        {"loss.name": "my_dice_ce"},
        {"init_overlap": "refuse"},
        {"data.region": "runs/coarse", "data.region_margin_mm": 10.0},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_model_and_settings_without_effect_on_scores_are_not_differences(settings: dict[str, Any]) -> None:
    assert setting_differences([compared_run(), compared_run("second", settings)]) == []


@pytest.mark.parametrize(
    ("changes", "concern"),
    [
        ({"settings": {"seed": 1}}, "seed"),
        ({"settings": {"trainer.precision": "bf16"}}, "precision"),
        ({"training": {"precision": "bf16"}}, "precision"),
        ({"settings": {"trainer.devices": 2}}, "hardware"),
        ({"training": {"environment": {"torch": "2.9"}}}, "environment"),
    ],
)
def test_seed_precision_and_hardware_are_noted_and_not_refused(changes: dict[str, Any], concern: str) -> None:
    [difference] = setting_differences([compared_run(), compared_run("second", **changes)])

    assert difference.concern == concern
    assert not difference.is_refused


def test_training_and_validation_cases_are_compared_case_by_case() -> None:
    assert concerns({}, {"training": {"train": frozenset("abcd")}}) == ["training cases"]
    assert concerns({}, {"training": {"val": frozenset("kl")}}) == ["validation cases"]
    assert concerns({}, {"training": {"train": frozenset("abcdefgz")}}) == ["training cases"]

    [difference] = setting_differences([compared_run(), compared_run("second", training={"train": frozenset("abcd")})])
    assert difference.values == ("8 (4 not in all: e, f and 2 more)", "4")


def test_cases_that_are_not_recorded_are_noted() -> None:
    [difference] = setting_differences([compared_run(), compared_run("second", training={"train": None})])

    assert difference.values == ("8", "not recorded")
    assert not difference.is_refused


@pytest.mark.parametrize(("epochs", "is_refused"), [(12, False), (7, True)], ids=["ran to the end", "ended early"])
def test_patience_forbids_only_if_it_ended_a_training(epochs: int, is_refused: bool) -> None:
    runs = [compared_run(), compared_run("second", {"trainer.patience": 5}, {"epochs": epochs})]

    refused = {difference.setting: difference.is_refused for difference in setting_differences(runs)}

    assert refused["trainer.patience"] == is_refused


def test_epochs_that_the_clock_decided_are_noted_others_are_refused() -> None:
    by_clock = {"settings": {"trainer.max_time": "00:00:10:00"}}

    assert concerns({}, {"training": {"epochs": 6}}) == ["epochs"]
    assert concerns(by_clock, by_clock | {"training": {"epochs": 6}}) == []


def test_a_run_that_was_extended_is_not_one_planned_so() -> None:
    assert concerns({}, {"training": {"extended_from": 6}}) == ["epochs"]


def test_an_argument_that_an_older_source_lacks_is_noted() -> None:
    [difference] = setting_differences([compared_run(), compared_run("second", {"data.source.modality": "ct"})])

    assert difference.values == ("not set", "ct")
    assert not difference.is_refused


def test_facts_that_a_network_takes_from_the_data_are_not_a_difference_of_models() -> None:
    runs = [compared_run(), compared_run("second", {"model.network.spacing": [1, 1, 1], "model.network.norm": "group"})]

    assert model_differences(runs) == {"model.network.norm": ("batch", "group")}


def test_those_that_forbid_come_first_and_names_stand_for_their_groups() -> None:
    settings = {"seed": 3, "loss.name": "dice", "loss.function._target_": "monai.losses.DiceLoss"}
    differences = setting_differences([compared_run(), compared_run("second", settings)])

    assert [difference.setting for difference in differences] == ["loss.name", "loss.function._target_", "seed"]
    assert refused_concerns(differences)["loss"].values == ("dice_ce", "dice")


def test_long_values_that_differ_at_their_end_are_found() -> None:
    long = list(range(100))
    differences = setting_differences(
        [compared_run(settings={"data.x": long}), compared_run("second", {"data.x": [*long[:-1], 0]})]
    )
    assert [difference.setting for difference in differences] == ["data.x"]


def test_folds_are_equal_in_all_but_the_fold() -> None:
    assert has_equal_settings(compared_run(), compared_run("second", {"data.fold": 3}))
    assert not has_equal_settings(compared_run(), compared_run("second", {"seed": 3}))
    assert not has_equal_settings(compared_run(), compared_run("second", {"model.network.norm": "group"}))


def test_the_trainings_of_all_folds_are_compared() -> None:
    folds = tuple(Training(train=frozenset(cases), val=frozenset("z"), epochs=12) for cases in ("abcd", "cdef"))
    other = (folds[0], replace(folds[1], train=frozenset("cde")))

    assert concerns({"trainings": folds}, {"trainings": folds}) == []
    [difference] = setting_differences([compared_run(trainings=folds), compared_run("second", trainings=other)])
    assert difference.values == ("4", "3–4")
