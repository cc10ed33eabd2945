"""Resizing by products is torch's own linear resizing, in values and gradient."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from aunet.networks.linear_resizing import resize_linearly

FORMATS = {
    "channels-first": lambda features: features,
    "channels-last": lambda features: features.contiguous(
        memory_format=torch.channels_last if features.ndim == 4 else torch.channels_last_3d
    ),
    "strided": lambda features: features.transpose(-1, -2).contiguous().transpose(-1, -2),
}
SIZES = [
    ((5, 6), (10, 12)),
    ((3, 4, 5), (6, 8, 10)),
    ((3, 4, 5), (12, 16, 5)),
    ((4, 1, 6), (8, 2, 12)),
    ((6, 8, 4), (5, 3, 9)),
]


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("channels", [1, 3, 20])
@pytest.mark.parametrize(("size", "target"), SIZES)
def test_values_and_gradient_are_those_of_torch(
    size: tuple[int, ...], target: tuple[int, ...], channels: int, layout: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    values = FORMATS[layout](torch.randn(2, channels, *size, generator=generator))
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    resized, expected = resize_linearly(ours, target), _interpolate(theirs, target)
    torch.testing.assert_close(resized, expected, rtol=1e-5, atol=1e-5)
    slope = torch.randn(expected.shape, generator=generator)
    resized.backward(slope)
    expected.backward(slope)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)


def test_channels_last_features_stay_channels_last() -> None:
    features = FORMATS["channels-last"](torch.randn(2, 4, 4, 4, 4)).requires_grad_()
    assert resize_linearly(features, (8, 8, 8)).is_contiguous(memory_format=torch.channels_last_3d)


def test_bf16_stays_bf16_under_autocast() -> None:
    features = torch.randn(1, 4, 4, 4, 4).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        resized = resize_linearly(features, (8, 8, 8))
    assert resized.dtype == torch.bfloat16
    torch.testing.assert_close(resized.float(), _interpolate(features.float(), (8, 8, 8)), rtol=0.01, atol=0.03)


def test_without_a_gradient_one_nan_stays_where_it_is() -> None:
    features = torch.zeros(1, 1, 6, 6, 6)
    features[0, 0, 0, 0, 0] = torch.nan
    assert int(resize_linearly(features, (12, 12, 12)).isnan().sum()) == 3**3


def _interpolate(features: Tensor, size: tuple[int, ...]) -> Tensor:
    mode = "bilinear" if features.ndim == 4 else "trilinear"
    return functional.interpolate(features, size=size, mode=mode, align_corners=False)
