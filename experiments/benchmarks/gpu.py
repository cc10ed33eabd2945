"""On a GPU: patches per second of a training step and a forward pass, plain, compiled and as CUDA graphs.

python experiments/benchmarks/gpu.py [--patch 128 128 128] [--batch 2] [--repeats 10] [--networks attention unet]

Both networks take turns through all ways within one run. The table has the share of the card's own rate of matrix
products, and for patches of 128x128x128 the arithmetic per second beside that of the MLPerf submission, in which an
H200 trains 76 such patches of a larger U-Net per second. ``--device cpu --patch 32 32 32`` tries the script without a
GPU: graphs are then left out.

Two more commands answer for a whole training on that machine: ``python train.py trainer=profile data=…`` (row "waiting
for data") and ``python experiments/benchmarks/peers.py dice --data …/Task04_Hippocampus``.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from monai.losses.dice import DiceCELoss
from monai.networks.nets.dynunet import DynUNet
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from aunet.evaluation.forward_time import device_name, wait_for
from aunet.networks import AttentionUNet, UNet
from aunet.networks.inspection.cost import forward_gflop
from aunet.networks.layers import channels_last, lay_out_channels_last
from aunet.networks.processor_convolutions import ProcessorConvolutions
from aunet.training.hardware import set_tf32
from aunet.training.trial_steps import matrix_rate

_NETWORKS = {"attention": AttentionUNet, "unet": UNet}
_CLASSES = 4
_WARM_UPS = 3
# A step is the forward pass, the gradient of the features and that of the weights, each as much work as the first.
_PASSES = {"forward": 1, "step": 3}
# MLPerf Training's U-Net on KiTS19: patches per second of one H200, and the widths of its levels.
_MLPERF_PATCHES, _MLPERF_PATCH = 76.0, (128, 128, 128)
_MLPERF_WIDTHS = (32, 64, 128, 256, 320, 320)


@dataclass(frozen=True)
class Way:
    """How a network is run: precision ("float32", with TF32 products, or "bf16"), compiled, as one CUDA graph."""

    precision: str
    is_channels_last: bool = True
    is_compiled: bool = False
    is_graph: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the factors of products."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def title(self) -> str:
        """Return precision, layout and what else is special."""
        layout = "channels-last" if self.is_channels_last else "channels-first"
        extras = [name for name, has in (("compiled", self.is_compiled), ("CUDA graph", self.is_graph)) if has]
        return ", ".join([self.precision, layout, *extras])


WAYS = (
    Way("float32", is_channels_last=False),
    Way("float32"),
    Way("bf16", is_channels_last=False),
    Way("bf16"),
    Way("bf16", is_compiled=True),
    Way("bf16", is_graph=True),
    Way("bf16", is_compiled=True, is_graph=True),
)


def main() -> None:
    """Time every network and way in turn and print the table."""
    arguments = _parser().parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "There is no GPU that torch can use. Try the script itself with --device cpu --patch 32 32 32."
        )
    set_tf32(True)
    console = Console(width=140)
    console.print(f"{device_name(device)}; torch {torch.__version__}")
    size = (arguments.batch, 1, *arguments.patch)
    ways = [way for way in WAYS if device.type == "cuda" or not (way.is_graph or way.is_compiled)]
    console.print(_table(list(_measure_all(size, ways, arguments, device)), size, device))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, nargs=3, default=list(_MLPERF_PATCH))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10, help="passes or steps that are timed together, three times")
    parser.add_argument("--networks", nargs="+", choices=_NETWORKS, default=list(_NETWORKS))
    parser.add_argument("--device", default="cuda")
    return parser


@dataclass(frozen=True)
class Measured:
    """Seconds of one pass or step, and the peak of the GPU's memory in GiB; or the reason why there are none."""

    network: str
    kind: str
    way: Way
    seconds: float = 0.0
    peak: float = 0.0
    failure: str = ""


def _measure_all(
    size: Sequence[int], ways: Sequence[Way], arguments: argparse.Namespace, device: torch.device
) -> Iterator[Measured]:
    for kind in _PASSES:
        for way in ways:
            for name in arguments.networks:
                yield _measure(name, kind, way, size, arguments.repeats, device)


def _measure(name: str, kind: str, way: Way, size: Sequence[int], repeats: int, device: torch.device) -> Measured:
    """Time one contender; a failure, such as too little memory, becomes its row."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.compiler.reset()
    try:
        run = _runner(_NETWORKS[name](), kind, way, size, device)
        seconds = statistics.median(_seconds(run, repeats, device) for _ in range(3))
    except RuntimeError as error:
        return Measured(name, kind, way, failure=str(error).strip().splitlines()[0][:80])
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    return Measured(name, kind, way, seconds, peak)


def _runner(network: nn.Module, kind: str, way: Way, size: Sequence[int], device: torch.device) -> Callable[[], object]:
    """Return a function that runs one pass or step on a random batch, warmed up."""
    network = network.to(device)
    image = torch.randn(*size, device=device)
    if way.is_channels_last:
        lay_out_channels_last(network)
        image = channels_last(image)
    forward = torch.compile(network, dynamic=False) if way.is_compiled else network
    run = _forward_pass(network, forward, image, way) if kind == "forward" else _step(network, forward, image, way)
    return _captured(run) if way.is_graph else _warmed_up(run)


def _forward_pass(network: nn.Module, forward: nn.Module, image: Tensor, way: Way) -> Callable[[], object]:
    network.eval()

    def run() -> Tensor:
        with torch.no_grad(), _autocast(image, way), ProcessorConvolutions():
            return forward(image)

    return run


def _step(network: nn.Module, forward: nn.Module, image: Tensor, way: Way) -> Callable[[], object]:
    """Return a training step as ``train.py`` takes it by default: Dice and cross-entropy, clipped, fused AdamW."""
    network.train()
    label = torch.randint(0, _CLASSES, (image.shape[0], 1, *image.shape[2:]), device=image.device)
    loss_function = DiceCELoss(softmax=True, to_onehot_y=True, include_background=False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True, capturable=way.is_graph)

    def run() -> None:
        optimizer.zero_grad()  # before the step: a graph allocates its gradients while it is captured
        with _autocast(image, way), ProcessorConvolutions():
            logits = forward(image)
        with ProcessorConvolutions():
            loss_function(logits.float(), label).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return run


def _autocast(image: Tensor, way: Way) -> torch.autocast:
    return torch.autocast(image.device.type, torch.bfloat16, enabled=way.precision == "bf16")


def _warmed_up(run: Callable[[], object]) -> Callable[[], object]:
    for _ in range(_WARM_UPS):
        run()
    return run


def _captured(run: Callable[[], object]) -> Callable[[], object]:
    """Return ``run`` as a CUDA graph, captured after warm-ups on a stream of their own, as torch's guide asks."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        _warmed_up(run)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        kept = run()
    return partial(_replay, graph, kept)


def _replay(graph: torch.cuda.CUDAGraph, kept: object) -> object:
    """Run the graph; ``kept`` are its outputs, whose memory belongs to it."""
    graph.replay()
    return kept


def _seconds(run: Callable[[], object], repeats: int, device: torch.device) -> float:
    wait_for(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    wait_for(device)
    return (time.perf_counter() - start) / repeats


def _table(rows: Sequence[Measured], size: Sequence[int], device: torch.device) -> Table:
    batch, _, *patch = size
    flop = {name: _forward_flop(_NETWORKS[name](), patch) for name in {row.network for row in rows}}
    is_mlperf = tuple(patch) == _MLPERF_PATCH
    title = f"{batch} x {'x'.join(map(str, patch))}, medians of three"
    table = Table("Kind", "Network", "Way", "ms", "Patches/s", "Of matrix rate", "Peak (GiB)", title=title)
    if is_mlperf:
        table.add_column("FLOP/s beside MLPerf's H200")
    mlperf = _MLPERF_PATCHES * _PASSES["step"] * _mlperf_flop() if is_mlperf else 0.0
    for row in rows:
        if row.failure:
            table.add_row(row.kind, row.network, row.way.title, row.failure)
            continue
        rate = _PASSES[row.kind] * flop[row.network] * batch / row.seconds
        cells = [f"{1000 * row.seconds:.1f}", f"{batch / row.seconds:.2f}"]
        cells += [f"{rate / matrix_rate(device, row.way.dtype):.0%}", f"{row.peak:.1f}"]
        cells += [f"{rate / mlperf:.0%}" if row.kind == "step" else ""] if is_mlperf else []
        table.add_row(row.kind, row.network, row.way.title, *cells)
    return table


def _mlperf_flop() -> float:
    """Return FLOP of MLPerf's U-Net for one patch, forward, counted in the same network of MONAI's parts."""
    levels = len(_MLPERF_WIDTHS)
    strides = [1, *[2] * (levels - 1)]
    network = DynUNet(3, 1, 3, [3] * levels, strides, [2] * (levels - 1), filters=list(_MLPERF_WIDTHS))
    return _forward_flop(network, _MLPERF_PATCH)


def _forward_flop(network: nn.Module, patch: Sequence[int]) -> float:
    """Return FLOP of the forward pass of one patch of one channel."""
    gflop = forward_gflop(network, 1, patch)
    assert gflop is not None
    return 1e9 * gflop


if __name__ == "__main__":
    main()
