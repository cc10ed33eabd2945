"""Gates computed together: the function, gradients and statistics of the modules one by one, and when they are not."""

import copy
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aunet.inference.engines import fold_batch_norms
from aunet.networks import AttentionUNet, GridGate, HardGate, Layers, SeveralGates, several_gates
from aunet.networks.layers import channels_last, lay_out_channels_last

F, G = 6, 10
SIZES = {2: (48, 32), 3: (16, 12, 8)}
# In training the norms remove what these weights add, so their gradient is 0 but for rounding.
INERT = ("output.0.bias", "output.1.bias", "combination.0.bias")


def several(spatial_dims: int = 3, num_gates: int = 2, gate: Any = GridGate, **layers: Any) -> SeveralGates:
    torch.manual_seed(0)
    gates = SeveralGates(Layers(spatial_dims, **layers), F, G, gate=gate, num_gates=num_gates)
    lay_out_channels_last(gates)
    return gates


def inputs(spatial_dims: int) -> list[Tensor]:
    """Return skip, gating signal and gradient of the output."""
    fine, coarse = SIZES[spatial_dims], [side // 2 for side in SIZES[spatial_dims]]
    generator = torch.Generator().manual_seed(1)
    shapes = [(2, F, *fine), (2, G, *coarse), (2, F, *fine)]
    skip, *others = (channels_last(torch.randn(shape, generator=generator)) for shape in shapes)
    return [skip.relu() + 1, *others]  # a skip behind its norm and activation: its mean exceeds its spread


def step(gates: SeveralGates, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return outputs, gradients and statistics of a training step, and the outputs of evaluation after it."""
    gates = copy.deepcopy(gates).train()
    skip, gating, gradient = (maps.to(dtype) for maps in inputs(gates.gates[0].theta.weight.ndim - 2))
    skip.requires_grad_()
    gating.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        gated, coefficients = gates(skip, gating)
        gated.backward(gradient.to(gated.dtype), retain_graph=True)
        gates.eval()
        with torch.no_grad():
            in_evaluation, _ = gates(skip, gating)
    found = {"gated": gated, "coefficients": coefficients, "skip": skip.grad, "gating": gating.grad}
    found |= {name: weight.grad for name, weight in gates.named_parameters() if not name.endswith(INERT)}
    found |= {name: buffer.double() for name, buffer in gates.named_buffers()} | {"evaluation": in_evaluation}
    return {name: torch.as_tensor(value).detach().double() for name, value in found.items()}


def errors(found: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    return {name: float((found[name] - value).norm() / value.norm()) for name, value in exact.items()}


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows whenever gates are computed together."""
    calls: list[None] = []
    together = several_gates.gate_jointly

    def note(*arguments: Any) -> tuple[Tensor, Tensor]:
        calls.append(None)
        return together(*arguments)

    monkeypatch.setattr(several_gates, "gate_jointly", note)
    return calls


@pytest.fixture
def nan_in_new_memory() -> Generator[None]:
    """Fill what ``torch.empty`` returns with NaN, so that a value nobody wrote is seen."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("spatial_dims", "num_gates"), [(2, 1), (2, 3), (3, 2)])
def test_outputs_gradients_and_statistics_are_those_of_the_modules_in_double_precision(
    spatial_dims: int, num_gates: int, joined: list[None]
) -> None:
    gates = several(spatial_dims, num_gates)
    exact = step(gates.double(), torch.float64)
    assert not joined
    together = step(gates.float())
    assert len(joined) == 2
    assert {name: error for name, error in errors(together, exact).items() if error > 2e-4} == {}


@pytest.mark.usefixtures("nan_in_new_memory")
def test_bf16_is_as_near_to_double_precision_as_that_of_the_modules(
    joined: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = several()
    exact = step(copy.deepcopy(gates).double(), torch.float64)
    together = errors(step(gates, torch.bfloat16), exact)
    assert len(joined) == 2
    monkeypatch.setattr(several_gates, "_FEWEST_VOXELS", 10**9)
    one_by_one = errors(step(gates, torch.bfloat16), exact)
    assert len(joined) == 2
    for name in ("gated", "coefficients", "skip", "gating", "evaluation"):
        assert together[name] < 1.2 * one_by_one[name] + 1e-6, name


def test_biases_that_the_norms_remove_get_a_gradient_of_zero() -> None:
    """None would stop a distributed training, which waits for the gradient of every weight."""
    gates = several()
    skip, gating, gradient = inputs(3)
    gates(skip, gating)[0].backward(gradient)
    inert = [weight.grad for name, weight in gates.named_parameters() if name.endswith(INERT)]
    assert len(inert) == 5
    assert all(torch.equal(torch.as_tensor(value), torch.zeros(F)) for value in inert)


def test_a_hook_on_a_part_of_a_gate_sees_it_run(joined: list[None]) -> None:
    gates, seen = several(), []
    gates.gates[1].output.register_forward_hook(lambda *arguments: seen.append(arguments))
    gates(*inputs(3)[:2])
    assert len(seen) == 1
    assert not joined


def test_a_hook_on_all_gates_of_a_skip_changes_nothing(joined: list[None]) -> None:
    gates = several()
    gates.register_forward_hook(lambda *arguments: None)
    gates(*inputs(3)[:2])
    assert len(joined) == 1


@pytest.mark.parametrize(
    "gates",
    [
        partial(several, gate=HardGate),
        partial(several, gate=partial(GridGate, combination="multiplicative")),
        partial(several, gate=partial(GridGate, nonlinearity="softplus")),
        partial(several, gate=partial(GridGate, normalization="softmax")),
        partial(several, gate=partial(GridGate, is_per_channel=True)),
        partial(several, gate=partial(GridGate, has_output_transform=False)),
        partial(several, norm="instance"),
        partial(several, dropout=0.1),
        partial(several, activation="leaky_relu"),
    ],
)
def test_other_gates_and_layers_run_one_by_one(gates: Any, joined: list[None]) -> None:
    gates()(*inputs(3)[:2])
    assert not joined


@pytest.mark.parametrize("change", ["channels-first", "a coarser gating signal", "frozen norms", "no gradient"])
def test_inputs_and_modes_that_need_the_modules_run_them(change: str, joined: list[None]) -> None:
    gates, (skip, gating, _) = several(), inputs(3)
    if change == "channels-first":
        skip = skip.contiguous()
    if change == "a coarser gating signal":
        gating = channels_last(gating[:, :, ::2, ::2, ::2])
    if change == "frozen norms":
        for module in gates.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval()
    with torch.set_grad_enabled(change != "no gradient"):
        gates(skip, gating)
    assert not joined


def test_recomputed_levels_have_the_same_gradients_and_statistics(joined: list[None]) -> None:
    def gradients(*levels: int) -> dict[str, Tensor]:
        torch.manual_seed(0)
        network = AttentionUNet(2, channels=(4, 8, 12), recomputed_levels=levels)
        lay_out_channels_last(network)
        logits = network(channels_last(torch.randn(2, 1, 64, 64)))
        (logits * torch.arange(4.0).view(4, 1, 1)).square().sum().backward()
        found = {name: torch.as_tensor(weight.grad) for name, weight in network.named_parameters()}
        return found | dict(network.named_buffers())

    once = gradients()
    assert len(joined) == 1
    torch.testing.assert_close(gradients(2), once)
    assert len(joined) == 3


@torch.no_grad()
def test_gates_whose_norms_an_engine_has_folded_give_the_same_together(joined: list[None]) -> None:
    gates = several().eval()
    skip, gating, _ = inputs(3)
    expected, _ = gates(skip, gating)
    joined.clear()
    folded = fold_batch_norms(gates)
    found, _ = folded(skip, gating)
    torch.testing.assert_close(found, expected)
    assert len(joined) == 1
