"""The learning rate's share at named places."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from aunet.build.task import build_schedule
from aunet.config.composition import compose_config, resolve_config
from aunet.training.schedules import ReduceOnPlateau, constant, halving, halving_every, polynomial
from tests.config.test_every_option import FACTS


def test_polynomial_goes_from_one_to_zero() -> None:
    assert polynomial(0.0) == 1.0
    assert polynomial(0.5) == pytest.approx(0.5**0.9)
    assert polynomial(1.0) == 0.0


def test_polynomial_rises_linearly_while_warming_up_and_never_starts_at_zero() -> None:
    assert 0 < polynomial(0.0, warmup=0.1) < 0.01
    assert polynomial(0.05, warmup=0.1) == pytest.approx(0.5)


def test_halving_spreads_its_steps_evenly() -> None:
    assert [halving(epoch / 1000) for epoch in (0, 249, 250, 500, 750, 1000)] == [1, 1, 0.5, 0.25, 0.125, 0.125]


def test_constant_stays() -> None:
    assert constant(0.0) == constant(1.0) == 1.0


@pytest.mark.parametrize("max_epochs", [300, 1000, 2000])
def test_halving_every_counts_epochs_however_many_there_are(max_epochs: int) -> None:
    for epoch in (0, 249, 250, 251, 299):
        assert halving_every(epoch / max_epochs, epochs=250, max_epochs=max_epochs) == (1.0 if epoch < 250 else 0.5)


def test_an_extended_run_continues_to_halve_every_250_epochs() -> None:
    settings = resolve_config(compose_config(["experiment=released_ct150"]), FACTS)
    longer = replace(settings.trainer, max_epochs=2000)  # as extend= does: the schedule in config.yaml still says 1000
    schedule = build_schedule(settings.optimizer, longer)
    assert [schedule(epoch / 2000) for epoch in (0, 250, 500, 1000, 1999)] == [1, 0.5, 0.25, 1 / 16, 1 / 128]


DICE = [0.1, 0.4, 0.39, 0.4, 0.41, 0.3, 0.3, 0.3, 0.3, 0.3, 0.42, 0.1, 0.1]


def test_a_plateau_reduces_the_rate_as_torch_does_and_continues_after_a_resume() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    oracle = ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=1)
    schedule = ReduceOnPlateau(factor=0.5, patience=1)
    for epoch, dice in enumerate(DICE):
        if epoch == 6:
            resumed = ReduceOnPlateau(factor=0.5, patience=1)
            resumed.load_state_dict(schedule.state_dict())
            schedule = resumed
        end_epoch(schedule, dice)
        oracle.step(dice)
        assert 0.2 * schedule(0.5) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert schedule(0.5) < 1


def test_an_undefined_dice_is_not_a_plateau() -> None:
    schedule = ReduceOnPlateau(patience=0)
    for _ in range(5):
        end_epoch(schedule, float("nan"))
    assert schedule(1.0) == 1.0


def end_epoch(schedule: ReduceOnPlateau, dice: float) -> None:
    trainer: Any = SimpleNamespace(callback_metrics={"val/dice": torch.tensor(dice)})
    schedule.on_train_epoch_end(trainer, trainer)


def test_the_option_with_a_plateau_builds_its_schedule() -> None:
    settings = resolve_config(compose_config(["optimizer=adamw_plateau"]), FACTS)
    assert isinstance(build_schedule(settings.optimizer, settings.trainer), ReduceOnPlateau)
