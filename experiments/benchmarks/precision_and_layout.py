"""Which precision and memory layout train fastest here? Ratios within one run, each choice in turn, several rounds.

python experiments/benchmarks/precision_and_layout.py [--patch 96 96 64] [--batch 2] [--rounds 5] [--compile]
"""

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table

from aunet.networks import AttentionUNet, UNet
from aunet.networks.processor_convolutions import ProcessorConvolutions
from aunet.training.hardware import set_tf32

# Precision, whether channels-last, whether compiled.
CHOICES = [("float32", False, False), ("float32", True, False), ("bf16", False, False), ("bf16", True, False)]
GPU_CHOICES = [("tf32", False, False), ("tf32", True, False)]
COMPILED_CHOICES = [("float32", True, True), ("bf16", True, True)]


def main() -> None:
    """Time a training step of both networks under each choice and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 64])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="with torch.compile too; it takes minutes")
    arguments = parser.parse_args()
    choices = [*CHOICES, *(GPU_CHOICES if torch.cuda.is_available() else [])]
    choices += COMPILED_CHOICES if arguments.compile else []
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = Table(
        "Network", "Precision", "Layout", "Compiled", "Step (s)", "Ratio to the first", "Peak GPU memory (GiB)"
    )
    for name, build in (("U-Net", UNet), ("Attention U-Net", AttentionUNet)):
        steps = [TrainingStep(build(), *choice, arguments, device) for choice in choices]
        seconds: list[list[float]] = [[] for _ in steps]
        for number in range(arguments.rounds + 1):
            for times, step in zip(seconds, steps, strict=True):
                elapsed = step()
                if number:  # the first round warms up
                    times.append(elapsed)
        medians = [statistics.median(times) for times in seconds]
        for (precision, is_last, is_compiled), median, step in zip(choices, medians, steps, strict=True):
            layout = "channels-last" if is_last else "channels-first"
            memory = f"{step.peak_memory / 2**30:.1f}" if torch.cuda.is_available() else "–"
            ratio = f"{median / medians[0]:.2f}"
            table.add_row(name, precision, layout, str(is_compiled), f"{median:.3f}", ratio, memory)
    Console().print(table)


class TrainingStep:
    """One forward and backward pass with an optimizer step under one choice."""

    def __init__(
        self,
        network: torch.nn.Module,
        precision: str,
        is_channels_last: bool,
        is_compiled: bool,
        arguments: argparse.Namespace,
        device: torch.device,
    ) -> None:
        layout = torch.channels_last_3d if is_channels_last else torch.contiguous_format
        self._network = network.to(device=device, memory_format=layout)
        self._forward = torch.compile(self._network, dynamic=False) if is_compiled else self._network
        self.peak_memory = 0
        image = torch.randn(arguments.batch, 1, *arguments.patch, device=device)
        self._image = image.contiguous(memory_format=layout)
        self._label = torch.zeros(arguments.batch, *arguments.patch, dtype=torch.long, device=device)
        self._optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        self._is_bf16, self._is_tf32 = precision == "bf16", precision == "tf32"

    def __call__(self) -> float:
        """Seconds of one step."""
        set_tf32(self._is_tf32)
        _reset_peak_memory()
        start = time.perf_counter()
        with (
            torch.autocast(self._image.device.type, torch.bfloat16, enabled=self._is_bf16),
            ProcessorConvolutions(),
        ):
            logits = self._forward(self._image)
        torch.nn.functional.cross_entropy(logits.float(), self._label).backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._image.device.type == "cuda":
            torch.cuda.synchronize()
            self.peak_memory = torch.cuda.max_memory_allocated()
        return time.perf_counter() - start


def _reset_peak_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
