"""The learning rate's share at named places."""

from dataclasses import replace

import pytest

from aunet.build.task import build_schedule
from aunet.config.composition import compose_config, resolve_config
from aunet.training.schedules import constant, halving, halving_every, polynomial
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
