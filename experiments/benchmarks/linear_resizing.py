"""Doubling of feature maps: torch's kernels beside products along the axes, forward and gradient, in turn.

python experiments/benchmarks/linear_resizing.py [--patch 160 160 96] [--rounds 5]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from aunet.networks.linear_resizing import resize_by_products

# Channels and level (1 is the full resolution) of what the paper's network resizes: decoder features, the head's
# scores, coefficients.
MAPS = [(32, 2), (64, 3), (128, 4), (4, 2), (4, 3), (1, 2)]
WAYS: dict[str, Callable[[Tensor, list[int]], Tensor]] = {
    "torch": lambda features, size: functional.interpolate(features, size=size, mode="trilinear"),
    "products": resize_by_products,
}


def main() -> None:
    """Print medians in milliseconds, a row per map and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 64])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"processor, {torch.get_num_threads()} threads"
    columns = [f"{way}, {part} (ms)" for way in WAYS for part in ("forward", "gradient")]
    table = Table("Channels", "Size", "Precision", *columns, title=f"Batch 2, channels-last, {name}")
    for precision in (torch.float32, torch.bfloat16):
        for channels, level in MAPS:
            size = [length // 2 ** (level - 1) for length in arguments.patch]
            features = torch.randn(2, channels, *size, device=device, dtype=precision)
            seconds = _time(features.contiguous(memory_format=torch.channels_last_3d), arguments.rounds)
            cells = [f"{1000 * statistics.median(times):.2f}" for times in seconds]
            table.add_row(str(channels), "x".join(map(str, size)), str(precision).removeprefix("torch."), *cells)
    Console(width=140).print(table)


def _time(features: Tensor, rounds: int) -> list[list[float]]:
    """Return seconds of forward and gradient of each way, all ways in turn; the first round warms up."""
    features.requires_grad_()
    size = [2 * length for length in features.shape[2:]]
    seconds: list[list[float]] = [[] for _ in range(2 * len(WAYS))]
    for number in range(rounds + 1):
        for at, way in enumerate(WAYS.values()):
            start = _now()
            resized = way(features, size)
            middle = _now()
            resized.backward(torch.ones_like(resized))
            end = _now()
            if number:
                seconds[2 * at].append(middle - start)
                seconds[2 * at + 1].append(end - middle)
            features.grad = None
    return seconds


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
