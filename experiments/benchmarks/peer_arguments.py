"""The command line of the contenders of ``peers.py dice``."""

import argparse
from pathlib import Path


def parse(description: str | None) -> argparse.Namespace:
    """Return the arguments of ``train`` or ``predict``, which ``peers.py`` passes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("task", choices=["train", "predict"])
    parser.add_argument("snapshots", nargs="*", type=Path, help="kept weights to predict with")
    for name in ("--data", "--split", "--folder", "--output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--minutes", type=float, help="of training")
    parser.add_argument("--interval", type=float, help="seconds between weights that are kept")
    parser.add_argument("--seed", type=int)
    return parser.parse_args()
