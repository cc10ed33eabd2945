"""Linear resizing of feature maps, with a gradient that is fast and equal from run to run.

Resizing is linear and separable, so it is one product with a small matrix along each axis. torch's own kernels visit
the voxels one by one if a tensor is channels-last: on an H100 their gradient takes 8.8 ms for 32 channels of 160x160x96
in bf16, batch 2, and 0.6 ms as products; on a CPU a bf16 map of one channel takes 10 to 30 times as long
(`experiments/benchmarks/linear_resizing.py`). On CUDA torch's gradient also adds in random order; products do not.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from aunet.networks.layers import is_channels_last

_LINEAR_MODE = {1: "linear", 2: "bilinear", 3: "trilinear"}
# On a CPU: with more channels, torch's kernels fill the vector registers and win.
_MOST_CHANNELS = 8
_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def resize_linearly(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, *spatial) to spatial ``size``: linear, bilinear or trilinear, corners not aligned.

    Autocast would run this in float32 and double the memory of all that follows, so it is switched off here.

    Examples:
        >>> resize_linearly(torch.tensor([[[0.0, 4.0]]]), [4])
        tensor([[[0., 1., 3., 4.]]])
    """
    if tuple(features.shape[2:]) == tuple(size):
        return features
    with torch.autocast(features.device.type, enabled=False):
        if _are_products_faster(features):
            return resize_by_products(features, size)
        mode = _LINEAR_MODE[features.ndim - 2]
        return functional.interpolate(features, size=tuple(size), mode=mode, align_corners=False)


def _are_products_faster(features: Tensor) -> bool:
    """Return whether products are faster, if a gradient is required of a tensor that holds values.

    Without a gradient torch's kernels run, because products would turn one NaN into a plane of them. Compilers and
    exporters see the single operation that they know; a tensor without values has no storage to multiply.
    """
    if not features.requires_grad or features.dtype not in _TYPES or type(features) is not Tensor:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return features.device.type == "cuda" or (features.device.type == "cpu" and features.shape[1] <= _MOST_CHANNELS)


def resize_by_products(features: Tensor, size: Sequence[int]) -> Tensor:
    """Resize by a product along each axis, the innermost in memory first, because the tensor is still small then."""
    num_axes = features.ndim - 2
    is_last = is_channels_last(features)
    batch, channels = features.shape[:2]
    array = features.movedim(1, -1) if is_last else features
    array = array.reshape(batch if is_last else batch * channels, *features.shape[2:], channels if is_last else 1)
    for axis in range(num_axes, 0, -1):
        array = _multiply_axis(array, axis, size[axis - 1])
    if is_last:
        return array.movedim(-1, 1)
    return array.reshape(batch, channels, *size)


def _multiply_axis(array: Tensor, axis: int, length: int) -> Tensor:
    """Resize ``axis`` of a contiguous array to ``length``: (outer, n, inner) -> (outer, length, inner)."""
    shape = array.shape
    weights = _axis_weights(shape[axis], length, array.dtype, array.device)
    flat = array.reshape(shape[:axis].numel(), shape[axis], shape[axis + 1 :].numel())
    resized = flat[..., 0] @ weights.T if flat.shape[2] == 1 else torch.matmul(weights, flat)
    return resized.reshape(*shape[:axis], length, *shape[axis + 1 :])


# A network resizes a handful of lengths, on one device; patches of several runs in one process add a few more.
@lru_cache(maxsize=256)
def _axis_weights(old: int, new: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (new, old): the share of each old position in each new one, as in torch's own linear mode."""
    positions = torch.eye(old, device=device)[None]
    return functional.interpolate(positions, size=new, mode="linear", align_corners=False)[0].T.contiguous().to(dtype)
