"""Group norm at any width, and a norm for each application, against their definitions written out."""

from typing import Any

import pytest
import torch
from torch import nn

from aunet.networks import AttentionUNet, Layers, UNet
from aunet.networks.norms import NormPerApplication, UnevenGroupNorm, group_norm, separate_norms

# Widths of the capacity-matched U-Nets, of the paper's networks, of inception branches, and small ones.
WIDTHS = (33, 67, 134, 268, 21, 42, 85, 170, 341, 16, 32, 64, 128, 256, 1, 4, 5, 7, 9, 11, 12, 13)


@pytest.mark.parametrize("width", WIDTHS)
def test_groups_of_any_width_hold_about_eight_channels_and_differ_by_one_at_most(width: int) -> None:
    """Told by the gradient: channels of one group, and no others, depend on each other."""
    sizes = _group_sizes(group_norm(width), width)
    assert sum(sizes) == width
    assert max(sizes) - min(sizes) <= 1
    assert sizes == [width] if width < 6 else 6 <= min(sizes) <= max(sizes) <= 11


def test_uneven_groups_take_mean_and_variance_of_their_channels_and_places() -> None:
    """Oracle: 11 channels in 3 groups are 4, 4 and 3 channels, normalized by hand."""
    norm = UnevenGroupNorm(3, 11)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    features = torch.randn(2, 11, 3, 4, 5)
    expected = features.clone()
    for channels in (slice(0, 4), slice(4, 8), slice(8, 11)):
        variance, mean = torch.var_mean(features[:, channels], dim=(1, 2, 3, 4), keepdim=True, correction=0)
        expected[:, channels] = (features[:, channels] - mean) / (variance + 1e-5).sqrt()

    expected = expected * norm.weight.view(1, -1, 1, 1, 1) + norm.bias.view(1, -1, 1, 1, 1)

    torch.testing.assert_close(norm(features), expected)


@pytest.mark.parametrize("channels", [(16, 33, 67, 134, 268), (21, 42, 85, 170, 341)], ids=["unet_6m", "unet_10m"])
def test_a_capacity_matched_network_has_no_group_of_a_single_channel(channels: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = UNet(channels=channels, norm="group")
    sizes = [norm.weight.numel() / _num_groups(norm) for norm in network.modules() if _num_groups(norm)]
    assert len(sizes) == 18
    assert min(sizes) >= 7


@pytest.mark.parametrize("width", [8, 16, 32, 64, 128, 256])
def test_widths_that_eight_divides_have_torchs_group_norm_of_eight_channels(width: int) -> None:
    norm = group_norm(width)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == width // 8


@pytest.mark.parametrize(("width", "groups"), [(16, 2), (12, 3), (33, 33), (67, 67), (341, 341)])
def test_an_older_run_keeps_the_groups_it_was_trained_with(width: int, groups: int) -> None:
    norm: Any = Layers(norm="group", has_equal_groups=True).normalization(width)
    assert norm.num_groups == groups
    assert norm.state_dict().keys() == group_norm(width).state_dict().keys()


def test_equal_groups_reach_every_layer_of_a_network() -> None:
    network = AttentionUNet(2, channels=(5, 9, 11), norm="group", has_equal_groups=True)
    assert {_num_groups(norm) / norm.weight.numel() for norm in network.modules() if _num_groups(norm)} == {1.0}


def test_separated_norms_replace_every_norm_inside_a_unit() -> None:
    unit = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.GroupNorm(2, 4), UnevenGroupNorm(3, 4))
    )
    separated = list(separate_norms(unit, 3))
    assert [type(norm.norms[2]) for norm in separated] == [nn.BatchNorm2d, nn.GroupNorm, UnevenGroupNorm]
    assert [module for module in unit.modules() if isinstance(module, NormPerApplication)] == separated


def _num_groups(norm: Any) -> int:
    if isinstance(norm, UnevenGroupNorm):
        return sum(norm.groups)
    return norm.num_groups if isinstance(norm, nn.GroupNorm) else 0


def _group_sizes(norm: nn.Module, width: int) -> list[int]:
    features = torch.randn(1, width, 5, dtype=torch.float64)
    slopes: Any = torch.autograd.functional.jacobian(lambda x: norm.double()(x)[0].square().sum(dim=1), features)
    depends = slopes[:, 0].abs().sum(dim=2) > 1e-12
    return [int(rows.sum()) for rows in torch.unique(depends, dim=0)]
