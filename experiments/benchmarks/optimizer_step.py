"""How long does an optimizer take over the paper's network? A tensor after the other, and fused; each in turn.

python experiments/benchmarks/optimizer_step.py [--rounds 30]
"""

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table
from torch.optim import SGD, Adam, AdamW, Optimizer

from aunet.networks import AttentionUNet

OPTIMIZERS = {"AdamW": (AdamW, {}), "Adam": (Adam, {}), "SGD": (SGD, {"momentum": 0.9, "nesterov": True})}


def main() -> None:
    """Time a step of each optimizer both ways and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = Table("Optimizer", "Torch's default (ms)", "Fused (ms)", "Ratio")
    for name, (factory, settings) in OPTIMIZERS.items():
        default, fused = (
            factory(_parameters(device), lr=1e-3, **settings, **choice) for choice in ({}, {"fused": True})
        )
        times = [(_milliseconds(default), _milliseconds(fused)) for _ in range(rounds + 2)][2:]
        medians = [statistics.median(column) for column in zip(*times, strict=True)]
        table.add_row(name, *(f"{median:.2f}" for median in medians), f"{medians[1] / medians[0]:.2f}")
    Console().print(table)


def _parameters(device: torch.device) -> list[torch.nn.Parameter]:
    parameters = list(AttentionUNet().to(device).parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return parameters


def _milliseconds(optimizer: Optimizer) -> float:
    start = time.perf_counter()
    optimizer.step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
