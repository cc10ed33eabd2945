"""Gates that are open or shut: what they give, and what their gradients are worth."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate

from aunet.errors import UserError
from aunet.networks import HardGate, Layers
from aunet.networks.hard_gate import BernoulliDraw, StraightThroughGumbel

DRAWS: dict[str, Any] = {
    "straight-through": StraightThroughGumbel,
    "score function": partial(BernoulliDraw, num_draws=2),
}
GATES: dict[str, Any] = {"straight-through": HardGate, "score function": partial(HardGate, estimator="score_function")}


@pytest.fixture(params=GATES)
def gate(request: pytest.FixtureRequest) -> HardGate:
    torch.manual_seed(0)
    return GATES[request.param](Layers(), 4, 8, stride=(2, 2, 1), is_pass_through_start=False)


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 4, 8, 8, 4), torch.randn(2, 8, 4, 4, 4)


@pytest.mark.parametrize("is_training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_draw_is_exactly_0_or_1(draw: Any, is_training: bool) -> None:
    torch.manual_seed(0)
    values = draw().train(is_training)(torch.randn(100_000) * 3)
    assert set(values.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("is_training", [True, False], ids=["training", "evaluation"])
def test_coefficients_are_blocks_of_the_grid(gate: HardGate, inputs: Any, is_training: bool) -> None:
    _, coefficients = gate.train(is_training)(*inputs)
    blocks = coefficients.unfold(2, 2, 2).unfold(3, 2, 2).flatten(5)
    assert set(coefficients.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(blocks.amin(dim=-1), blocks.amax(dim=-1))


def test_evaluation_opens_the_likelier_half_every_time(gate: HardGate, inputs: Any) -> None:
    gate.eval()
    expected = (gate.scores(*inputs) > 0).float().repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    for _ in range(2):
        assert torch.equal(gate(*inputs)[1], expected)


def test_training_draws_anew_each_time(gate: HardGate, inputs: Any) -> None:
    assert not torch.equal(gate(*inputs)[1], gate(*inputs)[1])


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_gate_is_open_with_the_sigmoid_of_its_score(draw: Any) -> None:
    torch.manual_seed(0)
    scores, num_draws = torch.tensor([-2.0, -0.5, 0.0, 1.5]), 40_000
    share = draw()(scores.expand(num_draws, 4)).mean(dim=0)
    standard_error = (scores.sigmoid() * (1 - scores.sigmoid()) / num_draws).sqrt()
    assert ((share - scores.sigmoid()).abs() < 4 * standard_error).all()


def test_a_draw_of_the_score_function_has_no_derivative() -> None:
    assert not BernoulliDraw(2)(torch.zeros(3, requires_grad=True)).requires_grad


def test_the_log_probability_of_a_draw_is_the_product_of_its_gates() -> None:
    scores, draw = torch.tensor([0.3, -1.2, 2.0]), torch.tensor([1.0, 0.0, 0.0])
    p = scores.sigmoid()
    assert BernoulliDraw.log_probability(scores, draw).exp().item() == pytest.approx(
        float(p[0] * (1 - p[1]) * (1 - p[2]))
    )


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_the_straight_through_estimate_is_the_derivative_of_the_relaxed_gate_on_average(temperature: float) -> None:
    """Oracle: d/ds E[sigmoid((s + logistic noise) / T)] by quadrature; for a loss linear in the gate that is all."""
    torch.manual_seed(0)
    num_draws, scores = 40_000, torch.tensor([-1.0, 0.4, 2.0])
    repeated = scores.repeat(num_draws, 1).requires_grad_()

    StraightThroughGumbel(temperature)(repeated).sum().backward()

    assert repeated.grad is not None
    expected = torch.tensor([_relaxed_derivative(float(score), temperature) for score in scores])
    standard_error = repeated.grad.std(dim=0) / num_draws**0.5
    assert ((repeated.grad.mean(dim=0) - expected).abs() < 4 * standard_error).all()


@pytest.mark.parametrize("score", [-1.0, 0.4, 2.0])
def test_the_straight_through_estimate_loses_its_bias_as_the_temperature_falls(score: float) -> None:
    exact = _sigmoid(score) * (1 - _sigmoid(score))
    biases = [abs(_relaxed_derivative(score, temperature) - exact) for temperature in (1.0, 0.3, 0.1)]
    assert biases[0] > biases[1] > biases[2]
    assert biases[2] < 0.02 * exact


@pytest.mark.parametrize(
    ("argument", "rule"),
    [({"estimator": "reinforce"}, "score_function"), ({"temperature": 0.0}, "above 0")],
)
def test_an_impossible_hard_gate_is_refused(argument: dict[str, Any], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        HardGate(Layers(), 4, 8, **argument)


def test_a_single_draw_is_refused_as_its_baseline_is_the_others() -> None:
    with pytest.raises(UserError, match="at least 2"):
        HardGate(Layers(), 4, 8, estimator="score_function", num_draws=1)


def test_two_draws_are_the_fewest() -> None:
    assert BernoulliDraw(2).num_draws == 2
    with pytest.raises(UserError, match="num_draws=1: at least 2"):
        BernoulliDraw(1)


def test_a_hard_gate_by_itself_has_no_setting_without_effect(gate: HardGate) -> None:
    assert gate.without_effect == []


def test_a_score_of_0_is_shut_in_evaluation() -> None:
    assert not any(draw().eval()(torch.zeros(3)).any() for draw in DRAWS.values())


@pytest.mark.parametrize(("options", "num_maps"), [({}, 1), ({"is_per_channel": True}, 4)])
def test_a_hard_gate_has_one_map_unless_it_has_one_per_channel(
    options: dict[str, Any], num_maps: int, inputs: Any
) -> None:
    _, coefficients = HardGate(Layers(), 4, 8, stride=(2, 2, 1), **options)(*inputs)
    assert coefficients.shape == (2, num_maps, 8, 8, 4)


def _relaxed_derivative(score: float, temperature: float) -> float:
    def integrand(noise: float) -> float:
        relaxed = _sigmoid((score + noise) / temperature)
        density = _sigmoid(noise) * (1 - _sigmoid(noise))
        return relaxed * (1 - relaxed) / temperature * density

    return integrate.quad(integrand, -40, 40, points=[-score], limit=200)[0]


def _sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
