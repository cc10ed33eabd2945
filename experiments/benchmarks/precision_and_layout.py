"""Which precision and memory layout train fastest here? Ratios within one run, each choice in turn, several rounds.

python experiments/benchmarks/precision_and_layout.py [--patch 96 96 64] [--batch 2] [--rounds 5]
"""

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table

from aunet.networks import AttentionUNet, UNet
from aunet.training.thin_convolution import ThinConvolutionsInFloat32

CHOICES = [("float32", False), ("float32", True), ("bf16", False), ("bf16", True)]


def main() -> None:
    """Time a training step of both networks under each choice and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 64])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = Table("Network", "Precision", "Layout", "Step (s)", "Ratio to the first")
    for name, build in (("U-Net", UNet), ("Attention U-Net", AttentionUNet)):
        steps = [TrainingStep(build(), *choice, arguments, device) for choice in CHOICES]
        seconds: list[list[float]] = [[] for _ in steps]
        for number in range(arguments.rounds + 1):
            for times, step in zip(seconds, steps, strict=True):
                elapsed = step()
                if number:  # the first round warms up
                    times.append(elapsed)
        medians = [statistics.median(times) for times in seconds]
        for (precision, is_last), median in zip(CHOICES, medians, strict=True):
            layout = "channels-last" if is_last else "channels-first"
            table.add_row(name, precision, layout, f"{median:.3f}", f"{median / medians[0]:.2f}")
    Console().print(table)


class TrainingStep:
    """One forward and backward pass with an optimizer step under one choice."""

    def __init__(
        self,
        network: torch.nn.Module,
        precision: str,
        is_channels_last: bool,
        arguments: argparse.Namespace,
        device: torch.device,
    ) -> None:
        layout = torch.channels_last_3d if is_channels_last else torch.contiguous_format
        self._network = network.to(device=device, memory_format=layout)
        image = torch.randn(arguments.batch, 1, *arguments.patch, device=device)
        self._image = image.contiguous(memory_format=layout)
        self._label = torch.zeros(arguments.batch, *arguments.patch, dtype=torch.long, device=device)
        self._optimizer = torch.optim.AdamW(network.parameters())
        self._is_bf16 = precision == "bf16"

    def __call__(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        with (
            torch.autocast(self._image.device.type, torch.bfloat16, enabled=self._is_bf16),
            ThinConvolutionsInFloat32(),
        ):
            logits = self._network(self._image)
        torch.nn.functional.cross_entropy(logits.float(), self._label).backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._image.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
