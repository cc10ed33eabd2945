"""The rate at which this machine multiplies matrices: the bound that a training step is compared with."""

import time
from functools import cache

import torch

from aunet.inference.forward_seconds import wait_for

# Sides of the square matrices. On a processor three of these stay in the cache, so the memory is no part of the rate
# (two cores with AVX2: 2 GFLOP, 16 ms); a GPU needs larger ones to fill all of its cores (1.1 TFLOP, a few ms).
_SIDE, _GPU_SIDE = 1024, 8192
_PRODUCTS = 5


@cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return FLOP/s of the fastest of a few products of square matrices; one multiply-add counts as two.

    It is measured once in a process, after a product that warms up. ``dtype`` is that of the factors; on a GPU whose
    TF32 is allowed float32 products use it, as the convolutions do.
    """
    side = _GPU_SIDE if device.type == "cuda" else _SIDE
    factor = torch.ones(side, side, device=device, dtype=dtype)
    seconds = [_product_seconds(factor) for _ in range(1 + _PRODUCTS)]
    return 2.0 * side**3 / min(seconds[1:])


def _product_seconds(factor: torch.Tensor) -> float:
    wait_for(factor.device)
    start = time.perf_counter()
    with torch.no_grad():
        torch.mm(factor, factor)
    wait_for(factor.device)
    return time.perf_counter() - start
