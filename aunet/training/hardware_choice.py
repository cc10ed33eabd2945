"""Precision and memory layout that are fastest on the hardware at hand: a known rule, so that equal runs stay equal."""

from dataclasses import dataclass
from typing import Literal

import torch

from aunet.errors import UserError

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class HardwareChoice:
    """What a run computes with, and why."""

    precision: Precision
    is_channels_last: bool
    reason: str

    @property
    def lightning_precision(self) -> Literal["32-true", "bf16-mixed"]:
        """The same in Lightning's words."""
        return "bf16-mixed" if self.precision == "bf16" else "32-true"


def choose_for_hardware(precision: str, channels_last: str | bool, accelerator: str) -> HardwareChoice:
    """Fill in what is "auto".

    bf16 where the hardware multiplies it (AVX512-BF16 or AMX on a processor, Ampere or later on CUDA), channels-last
    on processors and CUDA. On two cores of an AVX512-BF16 processor a training step of the paper's network took 0.77
    of the time in float32 when channels-last, 0.56 in bf16, 0.47 in both
    (``experiments/benchmarks/precision_and_layout.py``).
    """
    device, has_bf16 = _device(accelerator)
    chosen: Precision = "bf16" if precision == "bf16" or (precision == "auto" and has_bf16) else "float32"
    is_channels_last = device != "mps" if channels_last == "auto" else bool(channels_last)
    ability = "has fast bf16" if has_bf16 else "has no fast bf16"
    layout = "channels-last" if is_channels_last else "channels-first"
    return HardwareChoice(chosen, is_channels_last, f"{chosen}, {layout} on {device} ({device} {ability})")


def num_devices(devices: int | str, accelerator: str) -> int:
    """How many processes train: as many as asked for, or one for each GPU where ``devices`` is "auto".

    Raises:
        UserError: the machine has fewer GPUs, or ``devices`` is no number.
    """
    uses_gpus = _device(accelerator)[0] == "cuda"
    if devices == "auto":
        return torch.cuda.device_count() if uses_gpus else 1
    if not isinstance(devices, int) or devices < 1:
        raise UserError(f"trainer.devices={devices}: give a number from 1 on, or auto for all GPUs.")
    if uses_gpus and devices > torch.cuda.device_count():
        raise UserError(f"trainer.devices={devices}: this machine has {torch.cuda.device_count()} GPUs.")
    return devices


def _device(accelerator: str) -> tuple[str, bool]:
    usable = {"gpu": torch.cuda.is_available(), "cuda": torch.cuda.is_available()}
    usable["mps"] = torch.backends.mps.is_available()
    if not usable.get(accelerator, True):
        raise UserError(
            f"trainer.accelerator={accelerator}: this machine has none that torch can use; take auto or cpu."
        )
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "cuda", torch.cuda.is_bf16_supported(including_emulation=False)
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return "mps", False
    flags = torch.cpu.get_capabilities()
    return "cpu", bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
