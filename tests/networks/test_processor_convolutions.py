"""Convolutions on a processor avoid broken and slow kernels and give the same numbers; nothing else changes."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from aunet.networks import processor_convolutions
from aunet.networks.processor_convolutions import ProcessorConvolutions


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
    with torch.autocast("cpu", torch.bfloat16), ConvolutionTypes() as types, ProcessorConvolutions():
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
    with torch.autocast("cpu", torch.bfloat16), ProcessorConvolutions():
        output = layer(features)
    output.float().square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, expected)


def test_double_precision_stays_double() -> None:
    with ProcessorConvolutions():
        output = nn.Conv3d(2, 3, 3, padding=1).double()(torch.randn(1, 2, 2, 4, 4, dtype=torch.float64))
    assert output.dtype == torch.float64


def _gradients(layer: nn.Module, features: torch.Tensor, gradient: torch.Tensor) -> list[torch.Tensor]:
    """Gradients of the features and of the layer's parameters."""
    features = features.clone().requires_grad_()
    layer.zero_grad()
    layer(features).backward(gradient)
    return [features.grad, *(parameter.grad.clone() for parameter in layer.parameters())]


@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 3), (3, 1, 5), (5, 3, 1)])
@pytest.mark.parametrize(("in_channels", "out_channels"), [(6, 2), (4, 4), (2, 5)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_rewritten_gradients_are_those_of_double_precision(
    monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format, in_channels: int, out_channels: int, kernel: Any
) -> None:
    monkeypatch.setattr(processor_convolutions, "_has_avx512", lambda: False)
    torch.manual_seed(0)
    layer = nn.Conv3d(in_channels, out_channels, kernel, padding=tuple(length // 2 for length in kernel))
    features = torch.randn(2, in_channels, 7, 8, 9).contiguous(memory_format=layout)
    gradient = torch.randn(2, out_channels, 7, 8, 9).contiguous(memory_format=layout)
    with ProcessorConvolutions():
        assert is_rewritten(layer, features) == (in_channels > out_channels or kernel[0] > 1)
        rewritten = _gradients(layer, features, gradient)
    expected = _gradients(layer.double(), features.double(), gradient.double())
    for result, reference in zip(rewritten, expected, strict=True):
        torch.testing.assert_close(result.double(), reference, rtol=1e-4, atol=1e-4)


def is_rewritten(layer: nn.Module, features: torch.Tensor) -> bool:
    return type(layer(features).grad_fn).__name__ == "_ConvolutionBackward"


def test_the_exchanged_gradient_in_bf16_is_that_of_float32() -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(12, 4, 3, padding=1)
    features, gradient = torch.randn(2, 12, 8, 8, 8), torch.randn(2, 4, 8, 8, 8)
    with torch.autocast("cpu", torch.bfloat16), ProcessorConvolutions():
        assert is_rewritten(layer, features)
        rewritten = _gradients(layer, features, gradient.bfloat16())
    for result, reference in zip(rewritten, _gradients(layer, features, gradient), strict=True):
        assert (result - reference).abs().max() < 0.02 * reference.abs().max()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(6, 2, 3, padding=1, stride=2),
        nn.Conv3d(6, 2, 3, padding=2, dilation=2),
        nn.Conv3d(6, 2, 3),
        nn.Conv3d(6, 2, 3, padding=1, groups=2),
        nn.Conv3d(6, 2, 3, padding="same"),
        nn.Conv3d(6, 2, 1),
    ],
)
def test_other_convolutions_keep_the_gradient_of_torch(monkeypatch: pytest.MonkeyPatch, layer: nn.Module) -> None:
    monkeypatch.setattr(processor_convolutions, "_has_avx512", lambda: False)
    with ProcessorConvolutions():
        assert not is_rewritten(layer, torch.randn(1, 6, 8, 8, 8))


def test_nothing_is_rewritten_without_a_gradient() -> None:
    layer, features = nn.Conv3d(6, 2, 3, padding=1), torch.randn(1, 6, 8, 8, 8)
    with torch.no_grad(), ProcessorConvolutions():
        assert layer(features).grad_fn is None


@pytest.mark.parametrize("limit", ["avx2", "AVX2", "AVX2_VNNI", "SSE41"])
def test_the_limit_that_the_user_gives_onednn_is_respected(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert not processor_convolutions._has_avx512()


def test_double_precision_stays_double_under_autocast() -> None:
    layer = nn.Conv3d(6, 2, 3, padding=1).double()
    with torch.autocast("cpu", torch.bfloat16), ProcessorConvolutions():
        assert layer(torch.randn(1, 6, 8, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_an_image_without_a_batch_axis_has_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_convolutions, "_has_avx512", lambda: False)
    layer = nn.Conv3d(6, 2, 3, padding=1)
    with ProcessorConvolutions():
        layer(torch.randn(6, 8, 8, 8)).sum().backward()
    assert layer.bias.grad.tolist() == [512, 512]


def test_arguments_may_be_named() -> None:
    image, weight = torch.randn(1, 2, 4, 4, 4), torch.randn(3, 2, 3, 3, 3)
    with ProcessorConvolutions():
        output = nn.functional.conv3d(image, weight=weight)
    assert torch.equal(output, nn.functional.conv3d(image, weight))
