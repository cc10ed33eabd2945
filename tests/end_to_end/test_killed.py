"""A run that is killed without warning continues from its last checkpoint and ends as one never interrupted."""

from pathlib import Path

import pytest

from tests.end_to_end.fault_harness import differences, train_with_kills


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_killed_twenty_times_ends_as_one_never_interrupted(
    finished_run: Path, attention_settings: list[str], tmp_path: Path
) -> None:
    words = [*attention_settings, "logger=csv", "trainer.checkpoint_minutes=0.001"]
    for run in train_with_kills(words, tmp_path, kills=20, seed=0, longest_life=8):
        assert differences(run, finished_run) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_so_does_one_whose_last_checkpoint_is_cut_short_each_time(
    finished_run: Path, attention_settings: list[str], tmp_path: Path
) -> None:
    words = [*attention_settings, "logger=csv", "trainer.checkpoint_minutes=0.001"]
    for run in train_with_kills(words, tmp_path, kills=10, seed=2, longest_life=10, truncating=1.0):
        assert differences(run, finished_run) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_ranks_killed_six_times_end_as_two_never_interrupted(attention_settings: list[str], tmp_path: Path) -> None:
    words = [*attention_settings, "logger=csv", "trainer.accelerator=cpu", "trainer.devices=2"]
    words += ["trainer.ema=0.9", "model.network.dropout=0.1"]
    [reference] = train_with_kills(words, tmp_path / "reference", kills=0, seed=0, longest_life=0)
    for run in train_with_kills(words, tmp_path / "killed", kills=6, seed=1, longest_life=15, truncating=0.3):
        assert differences(run, reference) == []
