"""Networks of ours as one graph: compiled, exported by torch.export, and as ONNX run by another engine."""

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from tests.networks.model_options import IN_CHANNELS, OURS, settings_of, small_network

# It has every layer of the U-Net too; the others are in the slow tier.
REPRESENTATIVE = "attention"

pytestmark = [
    # torch's own exporters use what torch itself has deprecated.
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
]


@pytest.fixture(
    params=[pytest.param(option, marks=() if option == REPRESENTATIVE else pytest.mark.slow) for option in OURS]
)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.compiler.reset()  # it counts how often a class was compiled, over all tests
    return small_network(settings_of(request.param, spatial_dims=3), levels=3).eval().requires_grad_(False)


def _image(batch_size: int) -> Tensor:
    return torch.randn(batch_size, IN_CHANNELS, 8, 12, 16)


def assert_close(logits: Tensor, expected: Tensor) -> None:
    """Equal up to the order of additions, by the largest: untrained recurrent units let logits grow to hundreds."""
    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5 * max(1.0, float(expected.abs().max())))


def test_the_exported_graph_and_its_onnx_give_the_networks_logits_for_any_batch_size(network: nn.Module) -> None:
    other = _image(3)
    expected = network(other)

    program = torch.export.export(network, (_image(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert_close(program.module()(other), expected)

    exported = torch.onnx.export(program, dynamo=True, verbose=False)
    assert exported is not None
    session = onnxruntime.InferenceSession(exported.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    assert_close(torch.from_numpy(logits), expected)


@pytest.mark.slow
def test_the_compiler_sees_the_network_as_one_graph(network: nn.Module) -> None:
    """Up to what torch.compile hands to its code generator, which takes far longer and has the slow tier."""
    image = _image(2)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    assert_close(compiled(image), network(image))


@pytest.mark.slow
def test_the_compiled_network_gives_its_logits(network: nn.Module) -> None:
    """By inductor, which needs a C++ compiler."""
    image = _image(2)
    compiled = torch.compile(network, fullgraph=True)
    assert_close(compiled(image), network(image))
