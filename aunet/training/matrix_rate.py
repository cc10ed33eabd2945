"""The rate at which this machine multiplies matrices: the bound for the speed of a training step."""

import time
from functools import cache

import torch

from aunet.evaluation.forward_time import wait_for

# Sides of the square matrices. On a processor three of these stay in the cache, so memory does not limit the rate
# (two cores with AVX2: 2 GFLOP, 16 ms); a GPU needs larger ones to fill all of its cores (1.1 TFLOP, a few ms).
_SIDE, _GPU_SIDE = 1024, 8192
_PRODUCTS = 5


@cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return FLOP/s of the fastest of a few products of square matrices; one multiply-add counts as two.

    It is measured once per process, after a warm-up product. ``dtype`` is that of the factors; on a GPU with TF32
    enabled, float32 products use it, as the convolutions do.
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
