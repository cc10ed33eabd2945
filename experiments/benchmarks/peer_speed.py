"""Forward passes and training steps of the contenders in turn, and the table of ``peers.py forward`` and ``step``."""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from peer_contenders import CONTENDERS, GROUPS, Contender, build_network, count_work
from peer_curves import append_row, read_rows
from peer_machine import default_environment, describe_machine
from rich.console import Console
from rich.table import Table

from aunet.training.hardware import choose_for_hardware

SIZES = {"forward": (1, 160, 160, 96), "step": (2, 96, 96, 64)}
# A step is the forward pass, the gradient of the features and that of the weights, each as much work as the first.
_PASSES = {"forward": 1, "step": 3}
_RATES = "rates"
_CHILD = Path(__file__).with_name("peer_contenders.py")

Seconds = Mapping[str, Sequence[float]]


def compare_speed(kind: str, arguments: argparse.Namespace) -> None:
    """Measure what rounds are missing in ``arguments.output`` and print the table of all."""
    batch, *patch = SIZES[kind]
    size = (arguments.batch or batch, 1, *(arguments.patch or patch))
    has_bf16 = choose_for_hardware("auto", "auto", "auto").precision == "bf16"
    names = [name for name, one in CONTENDERS.items() if has_bf16 or one.precision == "float32"]
    file = arguments.output / f"{kind}.csv"
    _measure_rounds(kind, size, names, has_bf16, arguments, file)
    rows = [row for row in read_rows(file) if row["size"] == _label(size)]
    seconds = {name: [float(row["value"]) for row in rows if row["contender"] == name] for name in names}
    processor = {name: [float(row["processor"]) for row in rows if row["contender"] == name] for name in names}
    rates = {name: _rate(rows, name) for name in ("float32", "bf16", "copy") if name != "bf16" or has_bf16}
    console = Console(width=160)
    console.print(_table(kind, size, seconds, processor, rates))
    for line in [*_summary(kind, seconds, size, has_bf16), describe_machine()]:
        console.print(line)


def _measure_rounds(
    kind: str, size: Sequence[int], names: Sequence[str], has_bf16: bool, arguments: argparse.Namespace, file: Path
) -> None:
    """Run each group of contenders once a round, and the machine's rates with them; a round on disk is not repeated."""
    done = {(row["size"], row["round"], row["contender"]) for row in read_rows(file)}
    for number in range(1, arguments.rounds + 1):
        key = {"size": _label(size), "round": number}
        if (_label(size), str(number), _rate_name("copy")) not in done:
            rates = _run_child([_RATES, *(["--bf16"] if has_bf16 else [])])
            for rate, value in rates.items():
                append_row(file, {**key, "contender": _rate_name(rate), "value": value, "processor": ""})
        for group in GROUPS:
            missing = [name for name in group if name in names and (_label(size), str(number), name) not in done]
            if not missing:
                continue
            sides = [str(length) for length in size]
            words = [kind, "--contenders", *missing, "--size", *sides, "--repeats", str(arguments.repeats)]
            for name, measured in _run_child(words).items():
                append_row(file, {**key, "contender": name, **measured})


def _run_child(words: Sequence[str]) -> Any:
    """Return what the measuring process writes; ours make their own settings in it, the others have the defaults."""
    command = [sys.executable, str(_CHILD), *words]
    process = subprocess.run(command, env=default_environment(), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(process.stdout)


def _table(kind: str, size: Sequence[int], seconds: Seconds, processor: Seconds, rates: Mapping[str, float]) -> Table:
    title = f"{'Forward pass' if kind == 'forward' else 'Training step'} of {_label(size)}, medians over rounds"
    columns = ["Contender", "Precision", "Layout", "Seconds", "Processor (s)", "Authors' / this", "Patches/s"]
    columns += ["GFLOP", "GFLOP/s", "Of matrix rate", "Floor, FLOP (s)", "Floor, bytes (s)"]
    table = Table(*columns, title=title)
    for name, times in seconds.items():
        contender, median = CONTENDERS[name], statistics.median(times)
        flop, num_bytes = _work(contender, kind, size)
        rate = rates[contender.precision]
        table.add_row(
            contender.title,
            contender.precision,
            "channels-last" if contender.is_channels_last else "channels-first",
            f"{median:.3f}",
            f"{statistics.median(processor[name]):.3f}",
            f"{_ratio(seconds['authors'], times):.2f}",
            f"{size[0] / median:.2f}",
            f"{flop / 1e9:.0f}",
            f"{flop / median / 1e9:.0f}",
            f"{flop / median / rate:.0%}",
            f"{flop / rate:.3f}",
            f"{num_bytes / rates['copy']:.3f}",
        )
    caption = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items() if name != "copy")
    table.caption = f"matrix product {caption}; copy {rates['copy'] / 1e9:.1f} GB/s"
    return table


def _summary(kind: str, seconds: Seconds, size: Sequence[int], has_bf16: bool) -> list[str]:
    """Return the ratios that the project sets itself as aims."""
    lines: list[str] = []
    for precision in ("float32", "bf16") if has_bf16 else ("float32",):
        ours, unet = seconds[f"ours_{precision}"], seconds[f"unet_{precision}"]
        lines.append(f"{precision}: ours {_ratio(seconds['authors'], ours):.2f} times as fast as the authors' way.")
        lines.append(f"{precision}: the gate costs {_ratio(ours, unet):.3f} times the U-Net.")
        for suffix, layout in (("", "channels-first"), ("_last", "channels-last")):
            monai = f"monai_{precision}{suffix}"
            share = _work(CONTENDERS["ours_float32"], kind, size)[0] / _work(CONTENDERS[monai], kind, size)[0]
            ratio = _ratio(seconds[monai], ours) * share
            lines.append(f"{precision}: per FLOP ours {ratio:.2f} times as fast as MONAI's, {layout}.")
    return lines


def _work(contender: Contender, kind: str, size: Sequence[int]) -> tuple[float, float]:
    """Return FLOP and bytes of a pass or a step; bf16 halves the bytes."""
    flop, num_bytes = _forward_work(contender.network, tuple(size))
    return _PASSES[kind] * flop, _PASSES[kind] * num_bytes / (2 if contender.precision == "bf16" else 1)


@cache
def _forward_work(network: str, size: tuple[int, ...]) -> tuple[int, int]:
    return count_work(build_network(network), size)


def _ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median over rounds of ``times`` / ``reference``: rounds may be minutes apart."""
    return statistics.median(one / other for one, other in zip(times, reference, strict=True))


def _rate(rows: Sequence[Mapping[str, str]], name: str) -> float:
    return statistics.median(float(row["value"]) for row in rows if row["contender"] == _rate_name(name))


def _rate_name(name: str) -> str:
    return f"machine, {name}"


def _label(size: Sequence[int]) -> str:
    batch, _, *patch = size
    return f"{batch} x {'x'.join(map(str, patch))}"
