"""Kill a training again and again without warning, resume it each time, and compare it with one never interrupted.

As a script: python tests/end_to_end/fault_harness.py KILLS FOLDER key=value ... trains as the overrides say, with as
many kills at random moments, and reports what differs in the end.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

_FILES = ("metrics.csv", "splits.json", "attention/statistics.csv", "test/case_scores.csv", "test/summary.json")


def train_with_kills(
    words: Sequence[str], folder: Path, kills: int, seed: int, longest_life: float, truncating: float = 0.0
) -> list[Path]:
    """Train as ``words`` say below ``folder`` until ``kills`` processes were killed; give the finished runs' folders.

    A process is killed within ``longest_life`` seconds of its run folder being there, or, one time in four, of its own
    start. A run that ends before is kept, and another one begun. With the probability ``truncating`` a kill also cuts
    the last checkpoint short, as a disk does that lies about what it wrote.
    """
    draw = random.Random(seed)
    finished: list[Path] = []
    run = folder / "run_0"
    while kills or not (run / "report.html").exists():
        process = _start(words, run)
        if kills and _killed(process, run, draw.uniform(0, longest_life), from_start=draw.random() < 0.25):
            kills -= 1
            if draw.random() < truncating:
                _cut_short(run / "checkpoints" / "last.ckpt", draw.random())
        elif process.wait() == 0:
            finished.append(run)
            if kills:
                run = folder / f"run_{len(finished)}"
        else:
            raise AssertionError(f"{run}: the resumed training failed with status {process.returncode}")
    return finished


def differences(run: Path, reference: Path) -> list[str]:
    """Files of ``run`` that are not, bit for bit, those of ``reference``; of checkpoints the weights count."""
    files = [*_FILES, *(str(path.relative_to(reference)) for path in reference.glob("attention/volumes/**/*.npz"))]
    different = [name for name in files if _content(run / name) != _content(reference / name)]
    for name in ("checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        ours, theirs = (torch.load(path / name, weights_only=True)["state_dict"] for path in (run, reference))
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[key], theirs[key]) for key in theirs):
            different.append(name)
    return different


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _start(words: Sequence[str], run: Path) -> subprocess.Popen[bytes]:
    is_begun = (run / "config.yaml").exists()
    which = [f"resume={run}"] if is_begun else [*words, f"hydra.run.dir={run}"]
    return subprocess.Popen([sys.executable, "-m", "aunet.commands.main", "train", *which])


def _killed(process: subprocess.Popen[bytes], run: Path, delay: float, from_start: bool) -> bool:
    """Kill ``process`` and all it started ``delay`` seconds from now; False where it ended before."""
    while not from_start and not (run / "run.json").exists() and process.poll() is None:
        time.sleep(0.01)
    end = time.monotonic() + delay
    while time.monotonic() < end:
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    for number in [process.pid, *descendants(process.pid)]:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
    return True


def _cut_short(checkpoint: Path, share: float) -> None:
    if checkpoint.is_file() and checkpoint.with_name("previous.ckpt").is_file():
        os.truncate(checkpoint, int(share * checkpoint.stat().st_size))


def descendants(number: int) -> Iterator[int]:
    """Return the descendants of the process ``number``."""
    for task in Path(f"/proc/{number}/task").glob("*"):
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


def _main() -> None:
    kills, folder, words = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    [reference] = train_with_kills(words, folder / "reference", kills=0, seed=0, longest_life=0)
    for run in train_with_kills(words, folder / "killed", kills, seed=0, longest_life=12, truncating=0.3):
        sys.stdout.write(f"{run}: {differences(run, reference) or 'equal to the run never interrupted'}\n")


if __name__ == "__main__":
    _main()
