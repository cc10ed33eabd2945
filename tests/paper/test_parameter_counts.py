"""Parameter counts of the networks as their options build them, each with its source."""

import pytest

from aunet.build.network import build_network
from tests.networks.model_options import settings_of

# (option, parameters, source): "released" counts were read off the authors' own classes, run in torch.
COUNTS = [
    ("unet", 5_888_004, "released unet_CT_dsv_3D; the paper says 5.88 M"),
    ("attention", 6_407_018, "released class without its gating convolution; the paper says 6.40 M"),
    ("attention_official", 6_473_322, "released unet_CT_multi_att_dsv_3D"),
    ("attention_single_gate", 6_214_151, "released unet_CT_single_att_dsv_3D"),
    ("unet_6m", 6_444_328, "released unet_CT_dsv_3D with these widths; the paper says 6.44 M"),
    ("unet_10m", 10_403_190, "released unet_CT_dsv_3D with these widths; the paper says 10.40 M"),
    # These options change what is computed and not what is learned.
    ("attention_softmax", 6_407_018, "as attention: the released modes differ in no parameter"),
    ("attention_softplus", 6_407_018, "as attention: the released modes differ in no parameter"),
    ("attention_multiplicative", 6_407_018, "as attention: a product in place of a sum"),
    ("attention_hard", 6_407_018, "as attention: a draw in place of a sigmoid"),
    ("attention_hard_score", 6_407_018, "as attention: a draw in place of a sigmoid"),
    (
        "attention_bottleneck_gating",
        6_407_018 + 2 * ((256 - 128) * 64 + (256 - 64) * 32),
        "phi of levels 2 and 3, wider",
    ),
    ("attention_global_gating", 6_407_018 + 2 * ((256 - 128) * 64 + (256 - 64) * 32), "phi of levels 2 and 3, wider"),
]


@pytest.mark.parametrize(("option", "count"), [row[:2] for row in COUNTS], ids=[row[0] for row in COUNTS])
def test_parameters_are_as_many_as_the_source_says(option: str, count: int) -> None:
    settings = settings_of(option, spatial_dims=3, in_channels=1, num_classes=4)
    assert sum(parameter.numel() for parameter in build_network(settings).parameters()) == count
