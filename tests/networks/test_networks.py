"""What holds for every network of ours."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch

from aunet.errors import UserError
from aunet.networks import AttentionUNet, GridGate, UNet

SMALL = {"in_channels": 2, "num_classes": 3, "channels": (4, 8, 12, 16)}
RELEASED = partial(GridGate, is_pass_through_start=False)
SOFTMAX = partial(GridGate, normalization="softmax")
NETWORKS: dict[str, Callable[..., UNet]] = {
    "unet": lambda dims: UNet(dims, **SMALL),
    "attention": lambda dims: AttentionUNet(dims, **SMALL, gated_levels=(2, 3)),
    "as released": lambda dims: AttentionUNet(
        dims, **SMALL, gated_levels=(2, 3), has_gating_convolution=True, gate=RELEASED
    ),
    "softmax": lambda dims: AttentionUNet(dims, **SMALL, gated_levels=(2, 3), gate=SOFTMAX),
    "full resolution gated": lambda dims: AttentionUNet(dims, **SMALL, gated_levels=(1, 2, 3), num_gates=1),
}


@pytest.fixture(params=NETWORKS)
def build(request: pytest.FixtureRequest) -> Callable[[int], UNet]:
    torch.manual_seed(0)
    return NETWORKS[request.param]


@pytest.fixture(params=[2, 3], ids=["2D", "3D"])
def dims(request: pytest.FixtureRequest) -> int:
    return request.param


def image(dims: int) -> torch.Tensor:
    return torch.randn(2, 2, *(16, 24, 8)[:dims])


def test_logits_have_the_size_of_the_image(build: Callable[[int], UNet], dims: int) -> None:
    assert build(dims)(image(dims)).shape == (2, 3, *(16, 24, 8)[:dims])


def test_forward_equals_forward_with_attention(build: Callable[[int], UNet], dims: int) -> None:
    network, batch = build(dims).eval(), image(dims)
    assert torch.equal(network(batch), network.forward_with_attention(batch)[0])


def test_coefficients_lie_in_0_to_1_at_the_size_of_the_skip(build: Callable[[int], UNet], dims: int) -> None:
    _, coefficients = build(dims).forward_with_attention(image(dims))
    for level, values in coefficients.items():
        assert values.shape[2:] == tuple(length // 2 ** (level - 1) for length in (16, 24, 8)[:dims])
        assert values.min() >= 0
        assert values.max() <= 1


def test_gradients_reach_every_parameter(build: Callable[[int], UNet], dims: int) -> None:
    network = build(dims)
    network(image(dims)).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A softmax does not change with psi's bias; a convolution's bias before batch norm is taken out by its mean.
    assert all(name.endswith(".bias") for name in without), without


def test_bf16_is_close_to_float32(build: Callable[[int], UNet], dims: int) -> None:
    network, batch = build(dims).eval(), image(dims)
    exact = network(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(batch).float()
    assert (rounded - exact).norm() / exact.norm() < 0.05


def test_saved_weights_give_the_same_logits(build: Callable[[int], UNet], dims: int) -> None:
    network, other = build(dims).eval(), build(dims).eval()
    other.load_state_dict(network.state_dict())
    batch = image(dims)
    assert torch.equal(network(batch), other(batch))


def test_a_size_that_does_not_fit_is_refused_with_the_padded_size() -> None:
    with pytest.raises(UserError, match=r"multiples of \(8, 8, 8\).*\(16, 24, 8\)"):
        UNet(**SMALL)(torch.zeros(1, 2, 15, 20, 8))


def test_gates_start_as_pass_through_in_the_papers_preset() -> None:
    torch.manual_seed(0)
    _, coefficients = AttentionUNet().eval().forward_with_attention(torch.randn(1, 1, 32, 32, 32))
    assert all(values.mean() > 0.9 for values in coefficients.values())


def test_released_gates_do_not_start_as_pass_through() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(has_gating_convolution=True, gate=RELEASED).eval()
    _, coefficients = network.forward_with_attention(torch.randn(1, 1, 32, 32, 32))
    assert any(values.mean() < 0.9 for values in coefficients.values())


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"spatial_dims": 4}, "2 or 3"),
        ({"channels": (8,)}, "two levels"),
        ({"gated_levels": (5,)}, "levels 1 to 4"),
        ({"num_gates": 0}, "at least one"),
        ({"gate": partial(GridGate, normalization="relu")}, "softmax"),
    ],
)
def test_an_impossible_architecture_is_refused(arguments: dict[str, object], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        AttentionUNet(**arguments)


def test_the_fused_head_is_the_concatenating_one() -> None:
    """Oracle: the paper's head as it is drawn, resizing before fusing."""
    head = UNet(**SMALL).head
    decoded = [
        torch.randn(1, width, 16 // 2**level, 8 // 2**level, 8 // 2**level) for level, width in enumerate((4, 8, 12))
    ]
    scores = [
        torch.nn.functional.interpolate(convolution(features), size=(16, 8, 8), mode="trilinear")
        for features, convolution in zip(decoded, head.level_scores, strict=True)
    ]
    torch.testing.assert_close(head(decoded)[0], head.fusion(torch.cat(scores, dim=1)), rtol=1e-4, atol=1e-5)


def test_networks_import_with_torch_alone() -> None:
    others = ("pytorch_lightning", "hydra", "wandb", "monai", "omegaconf", "nibabel")
    code = f"import sys, aunet.networks; print([m for m in {others} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
