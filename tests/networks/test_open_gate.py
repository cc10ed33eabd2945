from typing import Any

import pytest
import torch
from torch import nn

from aunet.networks import AttentionUNet, Layers, OpenGate
from aunet.networks.gates import GridGate


def test_coefficients_are_one_and_without_a_transform_the_skip_passes_unchanged() -> None:
    skip, gating = torch.randn(2, 4, 8, 6, 4), torch.randn(2, 8, 4, 3, 2)
    gated, coefficients = OpenGate(Layers(3), 4, 8, has_output_transform=False)(skip, gating)

    assert torch.equal(gated, skip)
    assert torch.equal(coefficients, torch.ones(2, 1, 8, 6, 4))


@pytest.mark.parametrize("stride", [2, (2, 2, 1)])
def test_its_weights_are_those_of_a_gate_of_the_same_seed_without_the_attention(stride: Any) -> None:
    torch.manual_seed(0)
    gate = GridGate(Layers(3), 4, 8, stride)
    torch.manual_seed(0)
    opened = OpenGate(Layers(3), 4, 8, stride)

    expected = {name: value for name, value in gate.state_dict().items() if name.startswith("output")}
    assert opened.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in opened.state_dict().items())


def test_every_weight_of_the_network_gets_a_gradient() -> None:
    network: nn.Module = AttentionUNet(2, 1, 2, (4, 8, 16), gate=OpenGate)
    network(torch.randn(2, 1, 16, 16)).sum().backward()

    assert all(weight.grad is not None for weight in network.parameters())
