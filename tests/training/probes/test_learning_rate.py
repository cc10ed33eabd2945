"""The range test of learning rates and its reading of the losses."""

import numpy as np
import pytest

from aunet.training.probes.learning_rate import smooth, suggest_learning_rate
from aunet.training.schedules import rising


def test_the_rate_rises_by_the_same_factor_each_step_over_seven_decades() -> None:
    shares = [rising(step / 70) for step in range(71)]
    np.testing.assert_allclose(np.diff(np.log10(shares)), 0.1)
    assert (shares[0], shares[-1]) == pytest.approx((1e-4, 1e3))


def test_smoothing_a_constant_changes_nothing() -> None:
    np.testing.assert_allclose(smooth([0.7] * 20), 0.7)


def test_smoothing_is_the_weighted_mean_of_what_came_before() -> None:
    losses, weights = np.array([3.0, 1.0, 2.0]), np.array([0.81, 0.9, 1.0])
    assert smooth(list(losses))[-1] == pytest.approx((losses * weights).sum() / weights.sum())


def test_the_steepest_fall_is_suggested() -> None:
    """A loss that falls as a sigmoid of log10(rate) around 1e-3 and explodes from 1e-1 on."""
    rates = np.logspace(-7, 0, 400)
    losses = 1 / (1 + np.exp(6 * (np.log10(rates) + 3))) + np.where(rates > 0.1, 5.0, 0.0)
    suggestion = suggest_learning_rate(list(rates), list(losses))
    assert suggestion is not None
    assert 1e-3 <= suggestion <= 2e-3  # smoothing looks back, so it comes a little late
    assert suggestion == float(f"{suggestion:.1e}")


@pytest.mark.parametrize("losses", [list(np.linspace(1, 2, 50)), [1.0, 0.5]], ids=["rising", "two steps"])
def test_nothing_is_suggested_where_the_loss_never_falls(losses: list[float]) -> None:
    assert suggest_learning_rate(list(np.logspace(-7, 0, len(losses))), losses) is None
