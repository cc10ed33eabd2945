"""Parameter counts of the networks, each with its source."""

from collections.abc import Callable

import pytest
from torch import nn

from aunet.networks import AttentionUNet, UNet

# (network, parameters, source): "released" counts were read off the authors' own classes, run in torch.
COUNTS: list[tuple[str, Callable[[], nn.Module], int, str]] = [
    ("U-Net", UNet, 5_888_004, "released unet_CT_dsv_3D; the paper says 5.88 M"),
    ("two gates", AttentionUNet, 6_407_018, "released class without its gating convolution; the paper says 6.40 M"),
    (
        "two gates as released",
        lambda: AttentionUNet(has_gating_convolution=True),
        6_473_322,
        "released unet_CT_multi_att_dsv_3D",
    ),
    (
        "one gate as released",
        lambda: AttentionUNet(has_gating_convolution=True, num_gates=1),
        6_214_151,
        "released unet_CT_single_att_dsv_3D",
    ),
    (
        "capacity-matched to 6.44 M",
        lambda: UNet(channels=(16, 33, 67, 134, 268)),
        6_444_328,
        "released class with these widths; the paper says 6.44 M",
    ),
    (
        "capacity-matched to 10.40 M",
        lambda: UNet(channels=(21, 42, 85, 170, 341)),
        10_403_190,
        "released class with these widths; the paper says 10.40 M",
    ),
]


@pytest.mark.parametrize(("build", "count"), [row[1:3] for row in COUNTS], ids=[row[0] for row in COUNTS])
def test_parameters_are_as_many_as_the_authors_have(build: Callable[[], nn.Module], count: int) -> None:
    assert sum(parameter.numel() for parameter in build().parameters()) == count
