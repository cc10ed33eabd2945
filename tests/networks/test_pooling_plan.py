"""Thick slices are not pooled across before the plane is as coarse."""

from typing import Any

import pytest
import torch

from aunet.errors import UserError
from aunet.networks import AttentionUNet, UNet
from aunet.networks.pooling_plan import plan_pooling

FLAT, CUBE = (1, 2, 2), (2, 2, 2)


@pytest.mark.parametrize(
    ("spacing", "strides", "kernels"),
    [
        # Isensee's answer in MIC-DKFZ/nnUNet issue 131 (prostate); pooling from the published plan of that task.
        ((3.6, 0.62, 0.62), [FLAT, FLAT, CUBE, CUBE], [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)]),
        # By the rule, by hand: 7.5 / 0.79 = 9.5, 4.7, 2.4, and 1.2 at the fourth level.
        ((7.5, 0.79, 0.79), [FLAT, FLAT, FLAT, CUBE], [(1, 3, 3)] * 3 + [(3, 3, 3)] * 2),
        # The liver of MIC-DKFZ/nnUNet issue 856: sides within a factor of two count as equal.
        ((1.0, 0.7676, 0.7676), [CUBE] * 4, [(3, 3, 3)] * 5),
        # A factor of exactly two is thick; the axes need not come in any order.
        ((1.0, 2.0), [(2, 1), (2, 2), (2, 2), (2, 2)], [(3, 1)] + [(3, 3)] * 4),
    ],
)
def test_the_plan_is_nnunets(spacing: tuple[float, ...], strides: list[Any], kernels: list[Any]) -> None:
    assert plan_pooling(spacing, num_levels=5) == (tuple(strides), tuple(kernels))


def test_the_bottleneck_is_convolved_along_every_axis_however_thick_the_slices_are() -> None:
    """As in nnU-Net: "We always use 3x3(x3) conv here" (network_topology.py)."""
    strides, kernels = plan_pooling((1.0, 1.0, 50.0), num_levels=3)
    assert strides == ((2, 2, 1), (2, 2, 1))
    assert kernels == ((3, 3, 1), (3, 3, 1), (3, 3, 3))


def test_the_networks_follow_the_plan() -> None:
    network = AttentionUNet(num_classes=3, channels=(4, 8, 12, 16), spacing=(0.8, 0.8, 3.0)).eval()
    assert network.size_multiple == (8, 8, 4)
    assert [level.units[0][0].kernel_size for level in network.encoder.levels] == [(3, 3, 1), *[(3, 3, 3)] * 3]

    logits, coefficients = network.forward_with_attention(torch.randn(1, 1, 16, 24, 4))

    assert logits.shape == (1, 3, 16, 24, 4)
    assert {level: values.shape[2:] for level, values in coefficients.items()} == {2: (8, 12, 4), 3: (4, 6, 2)}


@pytest.mark.parametrize("upsampling", ["linear", "transposed"])
def test_strides_and_kernels_of_ones_own_come_before_the_spacing(upsampling: Any) -> None:
    network = UNet(
        num_classes=3,
        channels=(4, 8, 12),
        strides=[(1, 2, 2), 3],
        kernel_sizes=[(1, 3, 3), 3, 5],
        spacing=(1.0, 1.0, 1.0),
        upsampling=upsampling,
    )
    assert network.size_multiple == (3, 6, 6)
    assert network(torch.randn(2, 1, 6, 12, 6)).shape == (2, 3, 6, 12, 6)


def test_a_size_that_does_not_fit_is_refused_with_the_multiple_and_the_padded_size() -> None:
    network = UNet(channels=(4, 8, 12, 16), spacing=(0.8, 0.8, 7.5))
    assert network.size_multiple == (8, 8, 1)
    with pytest.raises(UserError, match=r"\(15, 20, 7\).*multiples of \(8, 8, 1\).*\(16, 24, 7\)"):
        network(torch.zeros(1, 1, 15, 20, 7))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"spacing": (1.0, 1.0)}, "3 lengths in mm"),
        ({"spacing": (1.0, 1.0, 0.0)}, "above 0"),
        ({"strides": [2, 2]}, "4 of them"),
        ({"kernel_sizes": [3, 3]}, "5 of them"),
        ({"strides": [0, 2, 2, 2]}, "from 1 on"),
    ],
)
def test_a_plan_that_does_not_fit_the_network_is_refused(arguments: dict[str, Any], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        UNet(**arguments)
