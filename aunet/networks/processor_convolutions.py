"""Convolutions on a CPU that avoid a broken kernel of oneDNN and its slow ones, in any network.

**Broken.** If the first spatial axis of a bf16 3D convolution is shorter than the kernel's (1 or 2 for a kernel of 3),
oneDNN in torch 2.13 on a CPU with AVX512-BF16 or AMX reads memory that it never wrote and writes outside its own:
logits and gradients are NaN or wrong at random. This happens at the bottleneck of five levels for patches of 16 or 32
voxels. Such convolutions run in float32.

**Slow.** The gradient of a weight is a convolution too, and oneDNN has several kernels for it, up to three times apart.
Two exact rewritings reach the fast ones (milliseconds of one core for 2x64x64x64 voxels,
`experiments/benchmarks/README.md`):

- The correlation of image and output gradient is the mirrored correlation of output gradient and image. It is faster
  if the narrower of the two is the image: 48 -> 16 channels take 52 ms in bf16 with AMX, exchanged 33; 640 and 305 in
  float32 with AVX2.
- With AVX2, a convolution that pads its first axis falls back to im2col. Padding beforehand selects the direct kernel:
  98 instead of 163 ms for 16 -> 16 channels.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Values of the image per value of the weight. With fewer, as at the bottleneck, mirroring the weight costs what it
# saves.
_FEWEST_VALUES = 4
# Values of ONEDNN_MAX_CPU_ISA that exclude AVX512.
ISA_WITHOUT_AVX512 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2")


class ProcessorConvolutions(TorchFunctionMode):
    """A context in which convolutions on a CPU avoid oneDNN's broken and slow kernels.

    Every other operation, and every operation on another device, is unchanged.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Run ``func``, in float32 or with a rewritten gradient if it is a 3D convolution on a CPU."""
        is_convolution = func in (torch.conv3d, torch.conv_transpose3d) and len(args) > 1
        if is_convolution and args[0].device.type == "cpu":
            if _is_thin(args[0], args[1]):
                with torch.autocast("cpu", enabled=False):
                    return func(*(_without_bf16(argument) for argument in args), **(kwargs or {}))
            if func is torch.conv3d and _keeps_size(args) and _is_rewritten(args[0], args[1]):
                return _convolve(args[0], args[1], args[2], args[4])
        return func(*args, **(kwargs or {}))


def _is_thin(features: Tensor, weight: Tensor) -> bool:
    return features.shape[2] < weight.shape[2]


def _without_bf16(argument: object) -> object:
    if isinstance(argument, Tensor) and argument.dtype == torch.bfloat16:
        return argument.float()
    return argument


def _keeps_size(arguments: Sequence[Any]) -> bool:
    """Return whether these are a convolution module's arguments and leave (B, C, *spatial) at its spatial size."""
    if len(arguments) != 7 or arguments[0].ndim != 5:
        return False
    kernel = tuple(arguments[1].shape[2:])
    same = tuple(length // 2 for length in kernel)
    is_odd = all(length % 2 for length in kernel)
    return is_odd and tuple(arguments[3:]) == ((1, 1, 1), same, (1, 1, 1), 1)


def _is_rewritten(features: Tensor, weight: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or not torch.is_grad_enabled():
        return False
    is_worth_it = weight.requires_grad and features.numel() >= _FEWEST_VALUES * weight.numel()
    return is_worth_it and bool(_rewriting(weight.shape, _computing_type(features)))


def _computing_type(features: Tensor) -> torch.dtype:
    is_cast = torch.is_autocast_enabled("cpu") and features.dtype != torch.float64
    return torch.get_autocast_dtype("cpu") if is_cast else features.dtype


def _rewriting(weight_shape: Sequence[int], dtype: torch.dtype) -> str:
    """Return "exchange", "pad" or "" for the gradient of a weight (out, in, *kernel)."""
    out_channels, in_channels, *kernel = weight_shape
    if dtype not in (torch.float32, torch.bfloat16) or max(kernel) == 1 or in_channels == 1:
        return ""
    if dtype == torch.float32 and _has_avx512():
        return ""
    if in_channels > out_channels:
        return "exchange"
    return "pad" if dtype == torch.float32 and kernel[0] > 1 else ""


def _has_avx512() -> bool:
    return "AVX512" in torch.backends.cpu.get_cpu_capability() and limit_of_onednn() not in ISA_WITHOUT_AVX512


def limit_of_onednn() -> str:
    """Return the instruction set to which the user limits oneDNN, "" without a limit."""
    return os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()


def _convolve(features: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, ...]) -> Tensor:
    """Convolve (B, C, *spatial) as autocast would."""
    dtype = _computing_type(features)
    with torch.autocast("cpu", enabled=False):
        bias = None if bias is None else bias.to(dtype)
        return _Convolution.apply(features.to(dtype), weight.to(dtype), bias, padding)  # pyright: ignore


class _Convolution(Function):
    """A convolution that keeps the size, whose gradient for the weight is computed by a faster kernel."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, ...]) -> Tensor:
        """Convolve (B, C, *spatial) -> (B, out, *spatial)."""
        ctx.save_for_backward(features, weight)
        ctx.padding = padding
        return torch.conv3d(features, weight, bias, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        """Return the gradients of features, weight and bias."""
        features, weight = ctx.saved_tensors
        of_features = None
        if ctx.needs_input_grad[0]:
            of_features = _gradients(gradient, features, weight, ctx.padding, (True, False))[0]
        of_bias = gradient.sum((0, 2, 3, 4)) if ctx.needs_input_grad[2] else None
        return of_features, _gradient_of_weight(gradient, features, weight, ctx.padding), of_bias, None


def _gradient_of_weight(gradient: Tensor, features: Tensor, weight: Tensor, padding: tuple[int, ...]) -> Tensor:
    if _rewriting(weight.shape, features.dtype) == "exchange":
        exchanged = _gradients(features, gradient, weight.transpose(0, 1), padding, (False, True))[1]
        return exchanged.flip(2, 3, 4).transpose(0, 1)
    padded = functional.pad(features, (0, 0, 0, 0, padding[0], padding[0]))
    return _gradients(gradient, padded, weight, (0, *padding[1:]), (False, True))[1]


def _gradients(
    gradient: Tensor, features: Tensor, weight: Tensor, padding: tuple[int, ...], wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Return torch's gradients of features and weight, as far as ``wanted``."""
    ones, zeros = [1, 1, 1], [0, 0, 0]
    return torch.ops.aten.convolution_backward(
        gradient, features, weight, None, ones, list(padding), ones, False, zeros, 1, [*wanted, False]
    )[:2]
