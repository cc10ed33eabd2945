"""Three exact ways to the gradient of a 3D convolution's weight on a processor, to find oneDNN's fastest kernel.

python experiments/benchmarks/convolution_gradients.py [--precision bf16] [--size 64] [--repeats 4]

One thread, processor time, channels-last, batch 2, the widths of the paper's network. ONEDNN_MAX_CPU_ISA=AVX2 shows the
kernels of a processor without AVX512. See `aunet/networks/processor_convolutions.py`.
"""

import argparse
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from aunet.networks.layers import channels_last
from aunet.process_settings import prepare_process

# Channels in and out, and the network's level, of its convolutions of 3x3x3.
_LAYERS = ((16, 16, 1), (48, 16, 1), (32, 32, 2), (96, 32, 2), (64, 64, 3), (192, 64, 3), (128, 128, 4), (384, 128, 4))


def main() -> None:
    """Time each way for each layer and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--size", type=int, default=64, help="voxels along each axis at full resolution")
    parser.add_argument("--repeats", type=int, default=4)
    arguments = parser.parse_args()
    prepare_process()
    torch.set_num_threads(1)
    table = Table("layer", "voxels", "forward", "of the image", "of the weight", "exchanged", "padded before")
    for in_channels, out_channels, level in _LAYERS:
        size = arguments.size // 2 ** (level - 1)
        image, weight, gradient = _tensors(in_channels, out_channels, size, arguments.precision)
        ways = _ways(image, weight, gradient)
        times = [f"{1e3 * _fastest(way, arguments.repeats):.1f}" for way in ways]
        table.add_row(f"{in_channels} to {out_channels}", f"2x{size}x{size}x{size}", *times)
    Console().print("Milliseconds of processor time, one thread.", table)


def _tensors(in_channels: int, out_channels: int, size: int, precision: str) -> tuple[Tensor, Tensor, Tensor]:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    image = torch.randn(2, in_channels, size, size, size, dtype=dtype)
    weight = torch.randn(out_channels, in_channels, 3, 3, 3, dtype=dtype)
    gradient = torch.randn(2, out_channels, size, size, size, dtype=dtype)
    return channels_last(image), channels_last(weight), channels_last(gradient)


def _ways(image: Tensor, weight: Tensor, gradient: Tensor) -> list[Callable[[], object]]:
    padded = channels_last(functional.pad(image, (0, 0, 0, 0, 1, 1)))
    mirrored = channels_last(weight.transpose(0, 1))
    return [
        lambda: torch.conv3d(image, weight, padding=1),
        lambda: _gradient(gradient, image, weight, (1, 1, 1), (True, False)),
        lambda: _gradient(gradient, image, weight, (1, 1, 1), (False, True)),
        lambda: _gradient(image, gradient, mirrored, (1, 1, 1), (False, True)),
        lambda: _gradient(gradient, padded, weight, (0, 1, 1), (False, True)),
    ]


def _gradient(
    gradient: Tensor, image: Tensor, weight: Tensor, padding: tuple[int, ...], wanted: tuple[bool, bool]
) -> object:
    ones, zeros = [1, 1, 1], [0, 0, 0]
    return torch.ops.aten.convolution_backward(
        gradient, image, weight, None, ones, list(padding), ones, False, zeros, 1, [*wanted, False]
    )


def _fastest(way: Callable[[], object], repeats: int) -> float:
    way()
    seconds: list[float] = []
    for _ in range(repeats):
        start = time.process_time()
        way()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
