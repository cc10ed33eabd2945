"""The contenders of ``peers.py forward`` and ``peers.py step``, and the measurement of some of them in this process.

``peers.py`` starts this file once for each group of contenders and round, because threads and malloc are set up when
torch is loaded: ours run with ``aunet.process_settings``, the others with torch's and glibc's defaults.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_CLASSES = 4
_CHANNELS = (16, 32, 64, 128, 256)
# Side of the square factors whose product measures the machine's rate: 137 GFLOP, a second on two cores.
_MATRIX_SIDE = 4096
_COPIED_BYTES = 2**28  # larger than any cache
_RATE_REPEATS = 3


@dataclass(frozen=True)
class Contender:
    """A network and how it is run.

    Attributes:
        title: shown in the table.
        network: "released" (plain operators), "attention", "unet" (both ours) or "monai".
        precision: "float32" or "bf16".
        is_channels_last: memory layout of weights and image.
        is_ours: whether it runs with our process settings, loss, optimizer and workarounds.
    """

    title: str
    network: str
    precision: str = "float32"
    is_channels_last: bool = False
    is_ours: bool = False


CONTENDERS = {
    "authors": Contender("authors' way", "released"),
    "ours_float32": Contender("ours", "attention", "float32", is_channels_last=True, is_ours=True),
    "ours_bf16": Contender("ours", "attention", "bf16", is_channels_last=True, is_ours=True),
    "unet_float32": Contender("our U-Net", "unet", "float32", is_channels_last=True, is_ours=True),
    "unet_bf16": Contender("our U-Net", "unet", "bf16", is_channels_last=True, is_ours=True),
    "monai_float32": Contender("MONAI's", "monai"),
    "monai_float32_last": Contender("MONAI's", "monai", "float32", is_channels_last=True),
    "monai_bf16": Contender("MONAI's", "monai", "bf16"),
    "monai_bf16_last": Contender("MONAI's", "monai", "bf16", is_channels_last=True),
}
# Those of a group share a process and take turns. Our networks in one precision are compared by a few percent, the
# cost of the gates, and the machine's speed changes by more from minute to minute.
GROUPS = (
    ("authors",),
    ("ours_float32", "unet_float32"),
    ("ours_bf16", "unet_bf16"),
    ("monai_float32",),
    ("monai_float32_last",),
    ("monai_bf16",),
    ("monai_bf16_last",),
)


def build_network(name: str) -> "torch.nn.Module":
    """Return one of the networks of ``Contender``, for one channel and four classes."""
    if name == "released":
        from peer_released import ReleasedAttentionUNet

        return ReleasedAttentionUNet()
    if name == "monai":
        from monai.networks.nets.attentionunet import AttentionUnet

        return AttentionUnet(3, in_channels=1, out_channels=_CLASSES, channels=_CHANNELS, strides=(2,) * 4)
    from aunet.networks import AttentionUNet, UNet

    return {"attention": AttentionUNet, "unet": UNet}[name]()


def count_work(network: "torch.nn.Module", size: Sequence[int]) -> tuple[int, int]:
    """Return FLOP and bytes of one forward pass in float32 on an image of ``size`` (B, C, *spatial).

    FLOP are those of convolutions and matrix products, a multiply-add counting as two. The bytes are the least that
    layer by layer execution moves: the output of each convolution is written once and read once.
    """
    import torch

    from aunet.networks.inspection.cost import measure_cost

    moved: list[int] = []

    def note_bytes(module: object, inputs: object, output: "torch.Tensor") -> None:
        moved.append(2 * output.numel() * output.element_size())

    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            module.register_forward_hook(note_bytes)
    batch, channels, *patch = size
    return measure_cost(network, channels, patch, batch)[-1].flop, sum(moved)


def measure(names: Sequence[str], kind: str, size: Sequence[int], repeats: int) -> dict[str, dict[str, float]]:
    """Return the seconds of a pass or step of each contender, of the clock (median) and of the processor (mean).

    Contenders of one process take turns after one pass that warms up, so that their ratio does not depend on the
    machine's load of the minute. They are all ours or all others'. Processor time holds that of threads that spin.
    """
    contenders = {name: CONTENDERS[name] for name in names}
    if any(contender.is_ours for contender in contenders.values()):
        assert all(contender.is_ours for contender in contenders.values()), "threads and malloc are set per process"
        from aunet.process_settings import prepare_process

        prepare_process()
    runs = {name: _runner(contender, kind, size) for name, contender in contenders.items()}
    for run in runs.values():
        run()  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    processor = dict.fromkeys(runs, 0.0)
    for _ in range(repeats):
        for name, run in runs.items():
            before = time.process_time()
            seconds[name].append(_seconds(run))
            processor[name] += (time.process_time() - before) / repeats
    return {name: {"value": statistics.median(seconds[name]), "processor": processor[name]} for name in runs}


def _runner(contender: Contender, kind: str, size: Sequence[int]) -> Callable[[], None]:
    """Return a function that runs one pass or step of ``contender`` on a random image of ``size``."""
    import torch

    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last_3d if contender.is_channels_last else torch.contiguous_format
    network = build_network(contender.network).to(device, memory_format=layout)
    image = torch.randn(*size, device=device).contiguous(memory_format=layout)
    if contender.is_ours:  # as training and prediction do
        from aunet.networks.layers import channels_last, lay_out_channels_last

        lay_out_channels_last(network)
        image = channels_last(image)
    build = forward_pass if kind == "forward" else training_step
    return build(contender, network, image)


def forward_pass(contender: Contender, network: "torch.nn.Module", image: "torch.Tensor") -> Callable[[], None]:
    """Return a function that predicts ``image`` once."""
    import torch

    network.eval()

    def run() -> None:
        with torch.inference_mode(), _precision(contender, image.device.type):
            network(image)

    return run


def training_step(contender: Contender, network: "torch.nn.Module", image: "torch.Tensor") -> Callable[[], None]:
    """Return a function that takes one step with the loss and the optimizer that the contender comes with.

    Ours: Dice and cross-entropy, clipped gradient, fused AdamW, as ``train.py`` by default. MONAI: ``DiceCELoss`` and
    Adam, as its tutorials. The authors: soft Dice and SGD with Nesterov momentum, as their released code.
    """
    import torch

    network.train()
    label = torch.randint(0, _CLASSES, (image.shape[0], 1, *image.shape[2:]), device=image.device)
    loss_function = _loss(contender)
    optimizer = _optimizer(contender)(network.parameters())

    def run() -> None:
        with _precision(contender, image.device.type):
            logits = network(image)
        loss = loss_function(logits.float(), label)
        with _convolutions(contender):
            loss.backward()
        if contender.is_ours:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return run


def measure_rates(has_bf16: bool) -> dict[str, float]:
    """Return the machine's FLOP per second in matrix products of each precision, and the bytes per second of a copy.

    A copied byte counts twice: it is read and written.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rates: dict[str, float] = {}
    for name, dtype in {"float32": torch.float32, **({"bf16": torch.bfloat16} if has_bf16 else {})}.items():
        factor = torch.randn(_MATRIX_SIDE, _MATRIX_SIDE, device=device).to(dtype)
        product = torch.empty_like(factor)
        multiply = partial(torch.mm, factor, factor, out=product)
        rates[name] = 2 * _MATRIX_SIDE**3 / min(_seconds(multiply) for _ in range(_RATE_REPEATS))
    source = torch.ones(_COPIED_BYTES, dtype=torch.uint8, device=device)
    copy = partial(torch.empty_like(source).copy_, source)
    rates["copy"] = 2 * _COPIED_BYTES / min(_seconds(copy) for _ in range(_RATE_REPEATS))
    return rates


def _loss(contender: Contender) -> Any:
    if contender.network == "released":
        from aunet.losses import ReleasedDiceLoss

        return ReleasedDiceLoss()
    from monai.losses.dice import DiceCELoss

    return DiceCELoss(softmax=True, to_onehot_y=True, include_background=not contender.is_ours)


def _optimizer(contender: Contender) -> Any:
    import torch

    if contender.network == "released":
        return partial(torch.optim.SGD, lr=1e-4, momentum=0.9, nesterov=True, weight_decay=1e-6)
    return partial(torch.optim.AdamW if contender.is_ours else torch.optim.Adam, lr=1e-3, fused=contender.is_ours)


def _precision(contender: Contender, device: str) -> Any:
    """Return the context of a forward pass."""
    from contextlib import ExitStack

    import torch

    stack = ExitStack()
    stack.enter_context(torch.autocast(device, torch.bfloat16, enabled=contender.precision == "bf16"))
    stack.enter_context(_convolutions(contender))
    return stack


def _convolutions(contender: Contender) -> Any:
    from contextlib import nullcontext

    from aunet.networks.processor_convolutions import ProcessorConvolutions

    return ProcessorConvolutions() if contender.is_ours else nullcontext()


def _seconds(run: Callable[[], object]) -> float:
    import torch

    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure what the arguments name and write it to standard output as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["forward", "step", "rates"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS)
    parser.add_argument("--size", type=int, nargs=5)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="the machine multiplies bf16 in hardware")
    arguments = parser.parse_args()
    if arguments.kind == "rates":
        result: object = measure_rates(arguments.bf16)
    else:
        result = measure(arguments.contenders, arguments.kind, arguments.size, arguments.repeats)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
