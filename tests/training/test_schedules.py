"""The learning rate's share at named places."""

import pytest

from aunet.training.schedules import constant, halving, polynomial


def test_polynomial_goes_from_one_to_zero() -> None:
    assert polynomial(0.0) == 1.0
    assert polynomial(0.5) == pytest.approx(0.5**0.9)
    assert polynomial(1.0) == 0.0


def test_polynomial_rises_linearly_while_warming_up_and_never_starts_at_zero() -> None:
    assert 0 < polynomial(0.0, warmup=0.1) < 0.01
    assert polynomial(0.05, warmup=0.1) == pytest.approx(0.5)


def test_halving_is_the_released_schedule() -> None:
    assert [halving(epoch / 1000) for epoch in (0, 249, 250, 500, 750, 1000)] == [1, 1, 0.5, 0.25, 0.125, 0.125]


def test_constant_stays() -> None:
    assert constant(0.0) == constant(1.0) == 1.0
