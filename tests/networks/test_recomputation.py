"""Recomputing activations changes the memory and nothing else."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from aunet.networks import AttentionUNet, ConvolutionBlock, HardGate, RecurrentUnit
from tests.networks.training_loss import training_loss

OPTIONS: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": 0.3},
    "recurrent units": {"block": partial(ConvolutionBlock, unit=RecurrentUnit)},
    "hard gates": {"gate": partial(HardGate, is_pass_through_start=False)},
    "drawn gates": {"gate": partial(HardGate, estimator="score_function", is_pass_through_start=False)},
    "transposed, instance norm": {"upsampling": "transposed", "norm": "instance"},
}
ALL_LEVELS = (1, 2, 3)


def _step(levels: tuple[int, ...], options: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Loss, gradients and statistics of one training step."""
    torch.manual_seed(0)
    network = AttentionUNet(num_classes=3, channels=(4, 8, 12), recomputed_levels=levels, **options)
    image, label = torch.randn(2, 1, 8, 16, 8), torch.randint(0, 3, (2, 1, 8, 16, 8), dtype=torch.uint8)
    loss = training_loss(network, image, label)
    loss.backward()
    gradients = {name: torch.as_tensor(parameter.grad) for name, parameter in network.named_parameters()}
    return loss, gradients, dict(network.named_buffers())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("levels", [(1,), ALL_LEVELS], ids=["finest level", "all levels"])
def test_loss_gradients_and_running_statistics_are_those_without(levels: Any, options: dict[str, Any]) -> None:
    loss, gradients, statistics = _step((), options)
    other_loss, other_gradients, other_statistics = _step(levels, options)
    assert torch.equal(loss, other_loss)
    torch.testing.assert_close(other_gradients, gradients)
    torch.testing.assert_close(other_statistics, statistics, rtol=0, atol=0)


def test_fewer_values_are_kept_for_the_backward_pass() -> None:
    kept = [_values_kept(levels) for levels in ((), (1,), ALL_LEVELS)]
    assert kept[1] < 0.6 * kept[0]
    assert kept[2] < 0.35 * kept[0]


def test_evaluation_recomputes_nothing() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(num_classes=3, channels=(4, 8, 12), recomputed_levels=ALL_LEVELS).eval()
    image = torch.randn(1, 1, 8, 8, 8, requires_grad=True)
    calls: list[int] = []
    network.encoder.levels[0].register_forward_hook(lambda *_: calls.append(1))
    network(image).sum().backward()
    assert len(calls) == 1


def _values_kept(levels: tuple[int, ...]) -> int:
    """Values that a forward pass keeps, each tensor counted once."""
    network = AttentionUNet(num_classes=3, channels=(4, 8, 12), recomputed_levels=levels)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().size()
        return tensor

    image = torch.randn(2, 1, 16, 32, 16)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(image)
    assert logits.requires_grad
    return sum(kept.values())
