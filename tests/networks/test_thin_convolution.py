"""3D convolutions over thin volumes run in float32 on a processor, in any network, and nothing else does."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from aunet.networks.thin_convolution import ThinConvolutionsInFloat32


class ConvolutionTypes(TorchDispatchMode):
    """Notes the dtype in which each convolution is really computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.dtype] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.seen.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


def dtype_of(layer: nn.Module, depth: int) -> torch.dtype:
    with torch.autocast("cpu", torch.bfloat16), ConvolutionTypes() as types, ThinConvolutionsInFloat32():
        layer(torch.randn(1, 2, depth, 6, 6))
    (seen,) = types.seen
    return seen


@pytest.mark.parametrize(("depth", "expected"), [(1, torch.float32), (2, torch.float32), (3, torch.bfloat16)])
def test_a_kernel_of_three_takes_bf16_from_three_slices_on(depth: int, expected: torch.dtype) -> None:
    assert dtype_of(nn.Conv3d(2, 3, 3, padding=1), depth) == expected


def test_a_kernel_of_one_always_takes_bf16() -> None:
    assert dtype_of(nn.Conv3d(2, 3, 1), depth=1) == torch.bfloat16


def test_transposed_convolutions_are_covered() -> None:
    assert dtype_of(nn.ConvTranspose3d(2, 3, 3, padding=1), depth=2) == torch.float32


def test_gradients_of_a_thin_convolution_are_those_of_float32() -> None:
    torch.manual_seed(0)
    layer, features = nn.Conv3d(8, 16, 3, padding=1), torch.randn(2, 8, 2, 3, 2)
    layer(features).square().sum().backward()
    expected = layer.weight.grad.clone()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16), ThinConvolutionsInFloat32():
        output = layer(features)
    output.float().square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, expected)


def test_double_precision_stays_double() -> None:
    with ThinConvolutionsInFloat32():
        output = nn.Conv3d(2, 3, 3, padding=1).double()(torch.randn(1, 2, 2, 4, 4, dtype=torch.float64))
    assert output.dtype == torch.float64
