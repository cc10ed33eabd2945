"""The command that a sweep proposes at its end."""

from pathlib import Path

import pytest

from aunet.commands.sweep import compare_options
from aunet.sweeps.job import Job


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        (["model=unet seed=0 loss=dice", "model=attention seed=1 loss=dice"], ""),
        (["model.network.num_gates=1", "model.network.num_gates=2"], ""),
        (["data.fold=0", "data.fold=1"], " --folds"),
        (["loss=dice", "loss=dice_ce"], " --allow-differences"),
        (["data.fold=0 trainer.max_epochs=3", "data.fold=0 trainer.max_epochs=6"], " --folds --allow-differences"),
    ],
)
def test_runs_that_differ_in_more_than_the_model_are_compared_with_the_option_that_allows_it(
    jobs: list[str], expected: str
) -> None:
    assert compare_options([Job(tuple(words.split()), Path(words), {}) for words in jobs]) == expected
