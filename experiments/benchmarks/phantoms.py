"""Time, processor time and memory that drawing the default phantoms takes, into an empty folder.

python experiments/benchmarks/phantoms.py [--spacing 5 4] [--number 40] [--processes N]

Processor time (user and system, of all processes) is the number to compare on a machine with other work. Two cores of
an Intel Xeon with AVX512, 40 phantoms: at 5 mm 38 s of processor time before fields were worked on in slabs and balls
placed together, 17 s after; at 4 mm 70 s and 31 s. The voxels are the same to the last bit.
"""

import argparse
import logging
import os
import resource
import tempfile
import time
from pathlib import Path

from rich.console import Console

from aunet.data.sources.phantom.cohort import phantom_cases


def main() -> None:
    """Print a line for each spacing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spacing", type=float, nargs="+", default=[5.0, 4.0])
    parser.add_argument("--number", type=int, default=40)
    parser.add_argument("--processes", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for spacing in arguments.spacing:
        with tempfile.TemporaryDirectory() as folder:
            start, used = time.monotonic(), _processor_seconds()
            phantom_cases(Path(folder), arguments.number, (spacing, spacing, spacing), 0, arguments.processes)
            seconds, used = time.monotonic() - start, _processor_seconds() - used
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        Console().print(
            f"{spacing:g} mm: {seconds:.1f} s, {used:.1f} s of processor time, {peak / 1024:.0f} MiB in the largest"
            f" process; load {os.getloadavg()[0]:.1f}"
        )


def _processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
