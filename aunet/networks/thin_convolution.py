"""3D convolutions over volumes thinner than their kernel, kept out of a broken bf16 kernel of processors.

oneDNN, behind torch 2.13 on a processor with AVX512-BF16 or AMX, computes a bf16 3D convolution whose first spatial
axis is shorter than the kernel's (1 or 2 for a kernel of 3) from memory that it never wrote, and writes outside its
own: logits and gradients are NaN or wrong at random. Patches of 16 or 32 voxels meet it at the bottleneck of five
levels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class ThinConvolutionsInFloat32(TorchFunctionMode):
    """Within this context such convolutions run in float32; every other operation as ever, in any network."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``func``, in float32 where it is a 3D convolution over a volume that is thinner than its kernel."""
        if func in (torch.conv3d, torch.conv_transpose3d) and _is_thin_on_processor(args[0], args[1]):
            with torch.autocast("cpu", enabled=False):
                return func(*(_without_bf16(argument) for argument in args), **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _is_thin_on_processor(features: torch.Tensor, weight: torch.Tensor) -> bool:
    return features.device.type == "cpu" and features.shape[2] < weight.shape[2]


def _without_bf16(argument: Any) -> Any:
    is_bf16 = isinstance(argument, torch.Tensor) and argument.dtype == torch.bfloat16
    return argument.float() if is_bf16 else argument
