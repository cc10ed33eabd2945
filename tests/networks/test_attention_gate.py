"""The laws of an attention gate, stated at its own resolution."""

import pytest
import torch
from torch.nn import functional

from aunet.networks import GridGate, Layers, SeveralGates


def test_coefficients_of_one_leave_the_skip_unchanged_before_the_output_transform() -> None:
    gate = GridGate(Layers(), skip_channels=4, gating_channels=8)
    gate.output = torch.nn.Identity()
    with torch.no_grad():
        gate.psi.bias.fill_(1e4)
    skip = torch.randn(2, 4, 8, 6, 4)

    gated, coefficients = gate(skip, torch.randn(2, 8, 4, 3, 2))

    assert torch.equal(coefficients, torch.ones(2, 1, 8, 6, 4))
    assert torch.equal(gated, skip)


def test_one_voxel_computed_by_hand() -> None:
    gate = GridGate(Layers(), skip_channels=1, gating_channels=1)
    with torch.no_grad():
        gate.theta.weight.fill_(0.5)  # eight voxels of value 1 give 4
        gate.phi.weight.fill_(2.0)
        gate.phi.bias.fill_(-1.0)  # 2 * 3 - 1 = 5
        gate.psi.weight.fill_(0.25)
        gate.psi.bias.fill_(-2.0)  # 0.25 * relu(4 + 5) - 2 = 0.25

    coefficients = gate.coefficients(gate.scores(torch.ones(1, 1, 2, 2, 2), torch.full((1, 1, 1, 1, 1), 3.0)))

    assert coefficients.item() == pytest.approx(1 / (1 + 2.718281828459045**-0.25), abs=1e-6)


def test_softmax_coefficients_sum_to_one_over_space_at_the_gates_resolution() -> None:
    gate = GridGate(Layers(), skip_channels=4, gating_channels=8, normalization="softmax")

    coefficients = gate.coefficients(gate.scores(torch.randn(3, 4, 8, 8, 4), torch.randn(3, 8, 4, 4, 2)))

    torch.testing.assert_close(coefficients.sum(dim=(2, 3, 4)), torch.ones(3, 1))


def test_the_gate_is_the_papers_formula_written_out() -> None:
    """Oracle: the additive gate in functional form, with the resizing spelled out."""
    gate = GridGate(Layers(), skip_channels=4, gating_channels=6).eval()
    skip, gating = torch.randn(2, 4, 8, 8, 4), torch.randn(2, 6, 2, 2, 1)  # the gating signal is coarser than theta
    theta = functional.conv3d(skip, gate.theta.weight, stride=2)
    phi = functional.conv3d(gating, gate.phi.weight, gate.phi.bias)
    phi = functional.interpolate(phi, size=theta.shape[2:], mode="trilinear")
    alpha = torch.sigmoid(functional.conv3d(functional.relu(theta + phi), gate.psi.weight, gate.psi.bias))
    alpha = functional.interpolate(alpha, size=skip.shape[2:], mode="trilinear")

    gated, coefficients = gate(skip, gating)

    torch.testing.assert_close(coefficients, alpha)
    torch.testing.assert_close(gated, gate.output(alpha * skip))


def test_several_gates_give_a_map_each() -> None:
    gate = SeveralGates(Layers(2), skip_channels=4, gating_channels=8, num_gates=3)

    gated, coefficients = gate(torch.randn(2, 4, 8, 6), torch.randn(2, 8, 4, 3))

    assert gated.shape == (2, 4, 8, 6)
    assert coefficients.shape == (2, 3, 8, 6)


def test_coefficients_are_float32_under_autocast() -> None:
    gate = GridGate(Layers(), skip_channels=4, gating_channels=8)
    with torch.autocast("cpu", torch.bfloat16):
        _, coefficients = gate(torch.randn(1, 4, 4, 4, 4), torch.randn(1, 8, 2, 2, 2))
    assert coefficients.dtype == torch.float32
