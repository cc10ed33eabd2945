"""The score-function estimate against the exact gradient of the expected loss, which few enough gates allow."""

import copy
import itertools
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from aunet.networks import AttentionUNet, HardGate
from aunet.networks.hard_gate import BernoulliDraw
from aunet.training.score_function import expected_loss
from tests.networks.training_loss import training_loss

NUM_ESTIMATES = 1000


class TwoDrawnGates(nn.Module):
    """A loss that no gate decides alone, over two drawn gates of two places each, the second depending on the first."""

    def __init__(self, num_draws: int = 4) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor([0.4, -0.7], dtype=torch.float64))
        self.weights = nn.Parameter(torch.tensor([1.5, -2.0], dtype=torch.float64))
        self.first, self.second = BernoulliDraw(num_draws), BernoulliDraw(num_draws)

    def forward(self) -> Tensor:
        first = self.first(self.scores)
        return self.loss(first, self.second(self.second_scores(first)))

    def second_scores(self, first: Tensor) -> Tensor:
        return self.weights * first.flip(0) + 0.3

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        return 10 + (self.weights * first).sum().square() + 3 * first[0] * second[1] - 2 * second.prod()

    def exact_expectation(self) -> Tensor:
        masks = [torch.tensor(mask, dtype=torch.float64) for mask in itertools.product((0.0, 1.0), repeat=2)]
        total = torch.zeros((), dtype=torch.float64)
        for first, second in itertools.product(masks, masks):
            probability = _probability(self.scores, first) * _probability(self.second_scores(first), second)
            total = total + probability * self.loss(first, second)
        return total


@pytest.fixture
def network() -> TwoDrawnGates:
    torch.manual_seed(0)
    return TwoDrawnGates()


def test_the_estimate_agrees_with_finite_differences_of_the_exact_expectation(network: TwoDrawnGates) -> None:
    estimates = _estimates(network)
    standard_error = estimates.std(dim=0) / NUM_ESTIMATES**0.5
    assert (standard_error < 0.09 * _finite_differences(network).abs().max()).all()
    assert ((estimates.mean(dim=0) - _finite_differences(network)).abs() < 4 * standard_error).all()


def test_its_value_is_the_mean_loss_of_the_draws(network: TwoDrawnGates) -> None:
    losses: list[Tensor] = []

    def draw_loss() -> Tensor:
        losses.append(network())
        return losses[-1]

    value = expected_loss(network, draw_loss)

    assert len(losses) == 4
    assert value.item() == pytest.approx(torch.stack(losses).mean().item())


def test_the_baseline_lowers_the_variance(network: TwoDrawnGates) -> None:
    """Contrast: loss times log probability without a baseline, over as many draws."""
    with_baseline = _estimates(network, 500)[:, :2].var(dim=0)
    plain = torch.stack([_without_baseline(network) for _ in range(500)]).var(dim=0)
    assert (with_baseline < 0.2 * plain).all()


def test_a_network_without_drawn_gates_is_asked_once() -> None:
    losses = iter([torch.tensor(3.0)])
    assert expected_loss(nn.Linear(1, 1), lambda: next(losses)).item() == 3


def test_drawn_gates_train_alike_where_activations_are_recomputed() -> None:
    image, label = torch.randn(2, 1, 8, 8, 8), torch.randint(0, 3, (2, 1, 8, 8, 8), dtype=torch.uint8)
    kept, recomputed = (_score_function_gradients(levels, image, label) for levels in ((), (1, 2, 3)))
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=name)


@pytest.mark.parametrize("levels", [(), (1, 2, 3)], ids=["kept", "recomputed"])
def test_a_step_of_several_draws_counts_once_in_the_running_statistics(levels: tuple[int, ...]) -> None:
    """Oracle: they are those of a single forward pass with the step's first draw."""
    torch.manual_seed(0)
    gate = partial(HardGate, estimator="score_function", is_pass_through_start=False)
    network = AttentionUNet(num_classes=3, channels=(4, 8, 12), gate=gate, recomputed_levels=levels)
    once = copy.deepcopy(network)
    image, label = torch.randn(2, 1, 8, 8, 8), torch.randint(0, 3, (2, 1, 8, 8, 8), dtype=torch.uint8)

    torch.manual_seed(1)
    training_loss(network, image, label).backward()
    torch.manual_seed(1)
    once(image)

    buffers = dict(network.named_buffers())
    assert {int(count) for name, count in buffers.items() if name.endswith("num_batches_tracked")} == {1}
    torch.testing.assert_close(buffers, dict(once.named_buffers()), rtol=0, atol=0)
    assert all(norm.momentum == 0.1 for norm in network.modules() if isinstance(norm, nn.BatchNorm3d))


def _score_function_gradients(levels: tuple[int, ...], image: Tensor, label: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    gate = partial(HardGate, estimator="score_function", is_pass_through_start=False)
    network = AttentionUNet(num_classes=3, channels=(4, 8, 12), gate=gate, recomputed_levels=levels)
    training_loss(network, image, label).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def _estimates(network: TwoDrawnGates, count: int = NUM_ESTIMATES) -> Tensor:
    """Gradients of scores and weights, (estimates, 4)."""
    rows: list[Tensor] = []
    for _ in range(count):
        loss = expected_loss(network, network)
        rows.append(torch.cat(torch.autograd.grad(loss, (network.scores, network.weights))))
    return torch.stack(rows)


def _without_baseline(network: TwoDrawnGates) -> Tensor:
    gradients: list[Tensor] = []
    for _ in range(4):
        with torch.no_grad():
            first = network.first(network.scores)
            second = network.second(network.second_scores(first))
            loss = network.loss(first, second)
        log_probability = BernoulliDraw.log_probability(network.scores, first)
        gradients += torch.autograd.grad(loss * log_probability, (network.scores,))
    return torch.stack(gradients).mean(dim=0)


def _finite_differences(network: TwoDrawnGates, step: float = 1e-5) -> Tensor:
    slopes: list[float] = []
    for parameter in (network.scores, network.weights):
        for index in range(len(parameter)):
            values: list[float] = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[index] += sign * step
                    values.append(float(network.exact_expectation()))
                    parameter[index] -= sign * step
            slopes.append((values[0] - values[1]) / (2 * step))
    return torch.tensor(slopes, dtype=torch.float64)


def _probability(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask > 0, scores.sigmoid(), 1 - scores.sigmoid()).prod()
