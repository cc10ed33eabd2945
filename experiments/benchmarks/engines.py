"""Forward pass of the Attention U-Net and of the U-Net in each engine, beside plain float32 torch, in one run.

python experiments/benchmarks/engines.py [--size 160 160 96] [--rounds 3] [--passes 5]

Each engine, network and round is a process of its own, as every library sets up its threads when it is loaded. Engines
take turns, so compare ratios of one run. Seconds are the median over rounds of the fastest pass of each round; the
processor seconds are those of that pass. "plain" is the network as written: float32, channels first, batch norms apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from aunet.inference.engine_choice import EngineChoice
from aunet.inference.engines import is_installed
from aunet.networks import AttentionUNet, UNet
from aunet.training.hardware import choose_for_hardware

NETWORKS: dict[str, type[UNet]] = {"attention": AttentionUNet, "unet": UNet}
ENGINES = (
    "plain",
    "torch-float32",
    "openvino-float32",
    "onnxruntime-float32",
    "torch-bf16",
    "openvino-bf16",
)
Timing = Mapping[str, float]


def main() -> None:
    """Measure every engine in turn and print the table."""
    arguments = _read_arguments()
    if arguments.way:
        sys.stdout.write(json.dumps(_measure(arguments)) + "\n")
        return
    engines = [name for name in ENGINES if _is_possible(name)]
    timings: dict[str, list[Timing]] = {}
    for _ in range(arguments.rounds):
        for way in (f"{engine}/{network}" for engine in engines for network in NETWORKS):
            timings.setdefault(way, []).append(_measure_apart(way))
    _print(arguments, engines, timings)


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=[160, 160, 96], help="voxels of the image")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=5, help="of each round, after one to warm up")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    return parser.parse_args()


def _is_possible(engine: str) -> bool:
    library, _, precision = engine.partition("-")
    if precision == "bf16" and choose_for_hardware("auto", "auto", "auto").precision != "bf16":
        return False
    return library == "plain" or is_installed(library)  # pyright: ignore[reportArgumentType]


def _measure_apart(way: str) -> Timing:
    words = [sys.executable, __file__, *sys.argv[1:], "--way", way]
    process = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(process.stdout.strip().splitlines()[-1])


def _measure(arguments: argparse.Namespace) -> Timing:
    """Return wall and processor seconds of the fastest pass."""
    engine, _, network = arguments.way.partition("/")
    torch.manual_seed(0)
    image = torch.randn(1, 1, *arguments.size)
    forward = _prepare(engine, NETWORKS[network]().eval(), image)
    passes: list[tuple[float, float]] = []
    with torch.inference_mode():
        for _ in range(1 + arguments.passes):
            wall, processor = time.perf_counter(), time.process_time()
            forward(image)
            passes.append((time.perf_counter() - wall, time.process_time() - processor))
    seconds, processor = min(passes[1:])
    return {"seconds": seconds, "processor": processor}


def _prepare(engine: str, network: nn.Module, image: Tensor) -> Callable[[Tensor], Tensor]:
    if engine == "plain":
        return network
    library, _, precision = engine.partition("-")
    with torch.inference_mode():
        return EngineChoice(library, precision).resolve(network, image)  # pyright: ignore[reportArgumentType]


def _print(arguments: argparse.Namespace, engines: Sequence[str], timings: Mapping[str, Sequence[Timing]]) -> None:
    median = {
        (way, key): statistics.median(timing[key] for timing in several)
        for way, several in timings.items()
        for key in ("seconds", "processor")
    }
    size, threads = "x".join(map(str, arguments.size)), os.environ.get("OMP_NUM_THREADS", "all")
    table = Table(title=f"Forward pass, 1x1x{size}, {threads} threads, medians of {arguments.rounds} rounds")
    for heading in ("Engine", "Seconds", "Processor", "Times as fast", "U-Net (s)", "Gate costs", "by processor time"):
        table.add_column(heading)
    for engine in engines:
        ours, unet = f"{engine}/attention", f"{engine}/unet"
        table.add_row(
            engine,
            f"{median[ours, 'seconds']:.2f}",
            f"{median[ours, 'processor']:.2f}",
            f"{median['plain/attention', 'seconds'] / median[ours, 'seconds']:.2f}",
            f"{median[unet, 'seconds']:.2f}",
            f"{median[ours, 'seconds'] / median[unet, 'seconds']:.2f}",
            f"{median[ours, 'processor'] / median[unet, 'processor']:.2f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
