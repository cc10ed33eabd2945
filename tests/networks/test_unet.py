"""The U-Net and the Attention U-Net as wholes."""

from functools import partial
from typing import Any

import pytest
import torch

from aunet.errors import UserError
from aunet.networks import AttentionUNet, GridGate, Layers, UNet
from aunet.networks.blocks import ConvolutionBlock
from aunet.networks.unet import DecoderLevel

RELEASED = partial(GridGate, is_pass_through_start=False)


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (1, 16, 16, 16)], ids=["too few axes", "no channel axis"])
def test_an_image_of_other_dimensions_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="3 spatial axes"):
        UNet(channels=(4, 8))(torch.zeros(shape))


def test_the_papers_gates_start_as_pass_through() -> None:
    torch.manual_seed(0)
    _, coefficients = AttentionUNet().eval().forward_with_attention(torch.randn(1, 1, 32, 32, 32))
    assert all(values.mean() > 0.9 for values in coefficients.values())


def test_released_gates_do_not_start_as_pass_through() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(has_gating_convolution=True, gate=RELEASED).eval()
    _, coefficients = network.forward_with_attention(torch.randn(1, 1, 32, 32, 32))
    assert any(values.mean() < 0.9 for values in coefficients.values())


@pytest.mark.parametrize("gated_levels", [(1,), (2, 3), (1, 2, 3), ()])
def test_exactly_the_levels_asked_for_are_gated(gated_levels: tuple[int, ...]) -> None:
    network = AttentionUNet(2, channels=(4, 8, 12, 16), gated_levels=gated_levels)
    _, coefficients = network.forward_with_attention(torch.randn(1, 1, 16, 8))
    assert set(coefficients) == set(gated_levels)


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_any_depth_of_two_levels_or_more_will_do(depth: int) -> None:
    network = AttentionUNet(2, channels=[4 + 2 * level for level in range(depth)])
    side = 2 ** (depth - 1)
    assert network.size_multiple == (side, side)
    assert network(torch.randn(2, 1, 2 * side, 3 * side)).shape == (2, 4, 2 * side, 3 * side)


def test_transposed_upsampling_multiplies_each_side_by_its_stride() -> None:
    level = DecoderLevel(Layers(), 8, 4, (2, 2, 1), 3, ConvolutionBlock, upsampling="transposed")
    assert level.upsampling(torch.randn(1, 8, 3, 4, 5)).shape == (1, 4, 6, 8, 5)
    assert level(torch.randn(1, 8, 3, 4, 5), torch.randn(1, 4, 6, 8, 5)).shape == (1, 4, 6, 8, 5)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"spatial_dims": 4}, "2 or 3"),
        ({"channels": (8,)}, "two levels"),
        ({"gated_levels": (5,)}, "levels 1 to 4"),
        ({"num_gates": 0}, "at least one"),
        ({"gating_source": "encoder"}, "'decoder', 'bottleneck' or 'global'"),
        ({"upsampling": "nearest"}, "'linear' or 'transposed'"),
        ({"recomputed_levels": (6,)}, "levels are 1 to 5"),
    ],
)
def test_an_impossible_architecture_is_refused(arguments: dict[str, Any], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        AttentionUNet(**arguments)


class SqueezeBlock(ConvolutionBlock):
    """A block of a user's own, which averages over the whole image."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        features = super().forward(features)
        return features * features.mean(dim=(2, 3, 4), keepdim=True)


def test_a_network_with_a_block_that_is_not_ours_is_not_taken_for_local() -> None:
    assert UNet(channels=(4, 8)).is_local
    assert not UNet(channels=(4, 8), block=SqueezeBlock).is_local
