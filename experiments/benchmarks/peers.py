"""Ours beside the authors' way, MONAI and nnU-Net: a forward pass, a training step, minutes to a Dice; all in turn.

python experiments/benchmarks/peers.py forward [--patch 160 160 96] [--rounds 3]
python experiments/benchmarks/peers.py step [--patch 96 96 64] [--batch 2] [--rounds 3]
python experiments/benchmarks/peers.py dice --data …/Task04_Hippocampus [--ours 10] [--monai 20] [--nnunet 50]
python experiments/benchmarks/peers.py all --data …/Task04_Hippocampus

Run it from the repository's root on idle cores. ``dice`` needs the extra ``peers``: pip install -c constraints.txt -e
'.[peers]'. Results go to --output as CSV; an interrupted benchmark continues from them.
"""

import argparse
import os
from pathlib import Path

from peer_dice import compare_dice
from peer_speed import compare_speed
from rich.console import Console

_IDLE_LOAD = 0.3


def main() -> None:
    """Run the benchmark that the arguments name."""
    arguments = _parser().parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    if load > _IDLE_LOAD:
        Console().print(f"Load {load:.1f}: other work shares the cores, and threads that spin suffer most.")
    for kind in ("forward", "step"):
        if arguments.benchmark in (kind, "all"):
            compare_speed(kind, arguments)
    if arguments.benchmark in ("dice", "all"):
        compare_dice(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    for name in ("forward", "step", "dice", "all"):
        command = benchmarks.add_parser(name)
        command.add_argument("--output", type=Path, default=Path("outputs/peers"), help="folder of the results")
        if name in ("forward", "step", "all"):
            _add_speed_arguments(command)
        if name in ("dice", "all"):
            _add_dice_arguments(command)
    return parser


def _add_speed_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rounds", type=int, default=3, help="of all contenders; ours of one precision take turns")
    command.add_argument("--patch", type=int, nargs=3, help="160 160 96 for forward, 96 96 64 for step")
    command.add_argument("--batch", type=int, help="1 for forward, 2 for step")
    command.add_argument("--repeats", type=int, default=5, help="passes or steps that are timed, after one more")


def _add_dice_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, required=True, help="the unpacked Task04_Hippocampus")
    command.add_argument("--held-out", type=int, default=60, help="cases that are scored and never trained on")
    command.add_argument("--seed", type=int, default=0, help="of the split; a round's number is added for training")
    command.add_argument("--scores", type=int, default=20, help="scores along a training, about")
    command.add_argument("--dice-rounds", type=int, default=1, help="trainings of each contender and budget")
    for name, minutes in (("ours", 10.0), ("monai", 20.0), ("nnunet", 50.0)):
        text = f"minutes of training of {name}; several: a run each, and the earliest counts; 0: leave it out"
        command.add_argument(f"--{name}", type=float, nargs="+", default=[minutes], help=text)


if __name__ == "__main__":
    main()
