"""The share of this machine's cores and GPUs for each of several processes."""

import os
from collections.abc import Sequence

import torch


def thread_share(processes: int) -> int:
    """Return the number of cores for each of ``processes`` that compute at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)


def visible_gpus() -> list[str]:
    """Return the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    return [name.strip() for name in named.split(",") if name.strip()]


def gpu_share(gpus: Sequence[str], processes: int, number: int) -> list[str] | None:
    """Return the GPUs of process ``number`` of ``processes``: its own if there are enough, else one in turn.

    None means all GPUs: there is nothing to divide.
    """
    if processes == 1 or len(gpus) < 2:
        return None
    each = max(1, len(gpus) // processes)
    first = number * each % len(gpus)
    return list(gpus[first : first + each])
