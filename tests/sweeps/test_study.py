"""A study remembers its trials, chooses by seed and stops trials that do worse than the others."""

from math import nan
from pathlib import Path

import pytest

from aunet.errors import UserError
from aunet.runs.run_state import RunState
from aunet.sweeps.search_space import read_search_space
from aunet.sweeps.study import Study

SPACE = ["model=unet,attention", "optimizer.factory.lr=tag(log,interval(1e-4,1e-2))"]


def study_in(folder: Path, words: list[str] = SPACE) -> Study:
    return Study(folder, read_search_space(words), seed=0, max_epochs=10)


def state(folder: Path, status: str, *dice: float) -> RunState:
    return RunState(folder, status, max_epochs=10, validation_dice=dice)


def test_the_best_trial_is_the_one_with_the_best_validation_dice_of_any_epoch(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    for dice in ((0.1, 0.2), (0.9, 0.3), (0.5, 0.6)):
        study.end(study.next_trial(), state(tmp_path, "finished", *dice))
    assert study.best is not None
    assert (study.best.number, study.best.value) == (1, 0.9)


def test_trials_are_chosen_by_the_seed_also_after_a_restart(tmp_path: Path) -> None:
    whole, parted = study_in(tmp_path / "whole"), study_in(tmp_path / "parted")
    for number in range(6):
        if number == 3:
            parted = study_in(tmp_path / "parted")
        for study in (whole, parted):
            study.end(study.next_trial(), state(tmp_path, "finished", 0.1 * number))
    chosen = [trial.params for trial in whole.trials]
    assert chosen == [trial.params for trial in parted.trials]
    assert len({str(params) for params in chosen}) == 6


def test_a_trial_below_the_median_of_the_earlier_ones_is_given_up(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    for level in range(5):
        trial, run = study.next_trial(), state(tmp_path, "finished", *[0.5 + 0.1 * level] * 10)
        assert not study.is_to_be_given_up(trial, run)
        study.end(trial, run)
    poor, good = study.next_trial(), study.next_trial()
    assert not study.is_to_be_given_up(poor, state(tmp_path, "running", 0.1))  # too early to tell
    assert study.is_to_be_given_up(poor, state(tmp_path, "running", 0.1, 0.1, 0.1, 0.1))
    assert not study.is_to_be_given_up(good, state(tmp_path, "running", 0.8, 0.8, 0.8, 0.8))
    study.end(poor, state(tmp_path, "pruned"))
    assert study.best is not None
    assert study.best.number == 4


def test_a_trial_is_not_given_up_before_its_first_validation(tmp_path: Path) -> None:
    """With ``trainer.validate_every=5`` the Dice of the other epochs is not recorded."""
    study = study_in(tmp_path)
    for level in range(5):
        trial, run = study.next_trial(), state(tmp_path, "finished", *[*[nan] * 4, 0.5 + 0.1 * level] * 2)
        study.is_to_be_given_up(trial, run)
        study.end(trial, run)
    poor = study.next_trial()
    assert not study.is_to_be_given_up(poor, state(tmp_path, "running", *[nan] * 4))
    assert study.is_to_be_given_up(poor, state(tmp_path, "running", *[nan] * 4, 0.1))


def test_a_trial_under_way_is_found_again_with_its_settings_and_epochs(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    trial = study.next_trial()
    study.is_to_be_given_up(trial, state(tmp_path, "running", 0.1, 0.2))
    study.end(trial, state(tmp_path, "interrupted", 0.1, 0.2))

    again = study_in(tmp_path)

    [found] = again.begun()
    assert again.words(found) == study.words(trial)
    again.is_to_be_given_up(found, state(tmp_path, "running", 0.1, 0.2, 0.3))
    assert again.trials[0].intermediate_values == {0: 0.1, 1: 0.2, 2: 0.3}
    again.end(found, state(tmp_path, "finished", 0.1, 0.2, 0.3))
    assert not again.begun()


def test_another_trial_is_tried_for_one_that_failed_under_an_earlier_command(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    study.fail(study.next_trial())
    study.end(study.next_trial(), state(tmp_path, "finished"))  # no epoch has a defined Dice
    assert (study.count, study.best) == (2, None)
    assert study_in(tmp_path).count == 0


def test_trials_of_another_space_are_not_mixed_in(tmp_path: Path) -> None:
    study_in(tmp_path)
    study_in(tmp_path, SPACE[::-1])
    with pytest.raises(UserError, match=r"hydra\.job\.name"):
        study_in(tmp_path, [*SPACE, "trainer=smoke"])
