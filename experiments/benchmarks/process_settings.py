"""Waiting threads and freed memory: training steps under several settings, alone and beside busy processes.

python experiments/benchmarks/process_settings.py [--patch 64 64 64] [--steps 4] [--neighbours 0 1 2] [--rounds 2]

Each measurement is a process of its own, as the settings are read when torch is loaded; the settings take turns.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

# GOMP_SPINCOUNT (None: libgomp's own), and whether malloc keeps freed memory.
CHOICES = [(None, False), (None, True), ("0", True), ("1000", True), ("10000", True), ("100000", True)]


def main() -> None:
    """Print seconds, processor time, page faults and peak memory of a step, a row per setting and load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, nargs=3, default=[64, 64, 64])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        sys.stdout.write(json.dumps(measure(arguments.patch, arguments.steps, arguments.keep)) + "\n")
        return
    table = Table(
        "Neighbours", "GOMP_SPINCOUNT", "Memory", "Step (s)", "Ratio", "CPU s/step", "Faults/step", "Peak (MiB)"
    )
    for neighbours in arguments.neighbours:
        results = measure_choices(arguments, neighbours)
        first = statistics.median(row["step"] for row in results[0])
        for (spin, is_kept), rows in zip(CHOICES, results, strict=True):
            median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            table.add_row(
                str(neighbours),
                spin or "default",
                "kept" if is_kept else "returned",
                f"{median['step']:.2f}",
                f"{median['step'] / first:.2f}",
                f"{median['cpu']:.2f}",
                f"{median['faults']:,.0f}",
                f"{median['peak_mib']:.0f}",
            )
    Console(width=140).print(table)


def measure_choices(arguments: argparse.Namespace, neighbours: int) -> list[list[dict[str, float]]]:
    """Return the measurements of each choice while ``neighbours`` processes keep a core busy each."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    results: list[list[dict[str, float]]] = [[] for _ in CHOICES]
    try:
        for _ in range(arguments.rounds):
            for rows, (spin, is_kept) in zip(results, CHOICES, strict=True):
                environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
                environment |= {"GOMP_SPINCOUNT": spin} if spin else {}
                patch = map(str, arguments.patch)
                command = [sys.executable, __file__, "--child", "--steps", str(arguments.steps), "--patch", *patch]
                command += ["--keep"] if is_kept else []
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                rows.append(json.loads(done.stdout))
    finally:
        for process in busy:
            process.kill()
    return results


def measure(patch: list[int], steps: int, is_kept: bool) -> dict[str, float]:
    """Train a few steps of the paper's network in this process and return what one costs."""
    if is_kept:
        from aunet.process_settings import keep_freed_memory

        keep_freed_memory()
    import torch
    from torch.nn import functional

    from aunet.networks import AttentionUNet
    from aunet.networks.processor_convolutions import ProcessorConvolutions
    from aunet.training.hardware import choose_for_hardware

    precision = choose_for_hardware("auto", "auto", "cpu").autocast_type
    network = AttentionUNet().to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    image, label = torch.randn(2, 1, *patch), torch.randint(0, 4, (2, *patch))
    image = image.contiguous(memory_format=torch.channels_last_3d)

    def step() -> None:
        with torch.autocast("cpu", dtype=precision, enabled=precision is not None), ProcessorConvolutions():
            logits = network(image)
        loss = functional.cross_entropy(logits.float(), label)
        with ProcessorConvolutions():
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()  # warms up
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(steps):
        step()
    end, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "step": (end - start) / steps,
        "cpu": used / steps,
        "faults": (after.ru_minflt - before.ru_minflt) / steps,
        "peak_mib": after.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
