"""The machine of a benchmark in words, and the environment in which a contender finds torch's and glibc's defaults."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("torch", "monai", "pytorch-lightning", "nnunetv2")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# Those that ours make themselves; none may reach a contender from outside.
_SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GLIBC_TUNABLES", "LD_PRELOAD")


def default_environment() -> dict[str, str]:
    """Return this process's environment without settings of waiting threads and of malloc."""
    return {key: value for key, value in os.environ.items() if key not in _SETTINGS}


def describe_machine() -> str:
    """Return processor, instruction sets, threads and versions in one line; of a GPU its name."""
    import torch

    if torch.cuda.is_available():
        machine = torch.cuda.get_device_name()
    else:
        name, flags = _processor()
        threads = torch.get_num_threads()
        machine = f"{name} ({', '.join(flags) or 'none of ' + ', '.join(_FLAGS)}), {threads} threads"
    return f"{machine}; {', '.join(_versions())}"


def _processor() -> tuple[str, list[str]]:
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return platform.processor() or platform.machine(), []
    entries = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in entries.items()}
    present = facts.get("flags", "").split()
    return facts.get("model name", platform.machine()), [flag for flag in _FLAGS if flag in present]


def _versions() -> list[str]:
    found: list[str] = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found
