"""The fastest precision and memory layout for the hardware, by a fixed rule, so that equal runs stay equal."""

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import torch
from torch.optim import Optimizer

from aunet.config.schema import TrainerConfig
from aunet.errors import UserError
from aunet.networks.layers import AUTOCAST_TYPES, Precision
from aunet.networks.processor_convolutions import ISA_WITHOUT_AVX512, limit_of_onednn

_log = logging.getLogger(__name__)

Device = Literal["cpu", "cuda", "mps"]
_LIGHTNING_PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
# Values of ONEDNN_MAX_CPU_ISA with which oneDNN emulates products of bf16.
_ISA_WITHOUT_BF16 = (*ISA_WITHOUT_AVX512, "AVX512_CORE", "AVX512_CORE_VNNI")


@dataclass(frozen=True)
class HardwareChoice:
    """Device, precision and memory layout of a run, and the ability of the hardware that decided.

    ``is_tf32``: the factors of float32 products are rounded to TF32 on GPUs that support it.
    """

    device: Device
    precision: Precision
    is_channels_last: bool
    is_tf32: bool
    ability: str

    @property
    def description(self) -> str:
        """Return one line for the user."""
        layout = "channels-last" if self.is_channels_last else "channels-first"
        tf32 = " (TF32)" if self.is_tf32 and self.precision == "float32" and self.device == "cuda" else ""
        return f"{self.precision}{tf32}, {layout} on {self.device} ({self.device} {self.ability})"

    @property
    def is_fused(self) -> bool:
        """Return whether the optimizer may step in one kernel: not in fp16, as Lightning cannot clip before it."""
        return self.precision != "fp16"

    @property
    def lightning_precision(self) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
        """Return the precision in Lightning's terms; in 16-mixed the loss is scaled."""
        return _LIGHTNING_PRECISIONS[self.precision]

    @property
    def autocast_type(self) -> torch.dtype | None:
        """Return the type in which autocast computes; None without autocast."""
        return AUTOCAST_TYPES.get(self.precision)

    def as_record(self) -> dict[str, object]:
        """Return the values for the run's record, so that the run can continue with them."""
        return {name: value for name, value in asdict(self).items() if name != "ability"}

    def going_on_from(self, recorded: Mapping[str, Any]) -> "HardwareChoice":
        """Return the choice that a run began with, on this device; warn if this machine would choose another."""
        known = {name: value for name, value in recorded.items() if name in self.as_record()}
        kept = replace(self, **{**known, "device": self.device})
        if recorded.get("device", self.device) != self.device:
            _log.warning(
                "This run began on %s and continues on %s: it will not end bit for bit as it would have there.",
                recorded["device"],
                self.device,
            )
        if kept.precision != self.precision:
            _log.warning(
                "This run began in %s and keeps to it; this machine would choose %s.", kept.precision, self.precision
            )
        return kept


def choose_for_hardware(
    precision: str, channels_last: str | bool, accelerator: str, is_tf32: bool = True, is_deterministic: bool = False
) -> HardwareChoice:
    """Choose every setting that is "auto".

    These are bf16 if the hardware multiplies it (AVX512-BF16 or AMX on a processor, Ampere or later on CUDA), and
    channels-last on processors and CUDA. On two cores of an AVX512-BF16 processor a training step of the paper's
    network took 0.77 of the time in float32 with channels-last, 0.56 in bf16, 0.47 with both
    (``experiments/benchmarks/precision_and_layout.py``).

    Raises:
        UserError: the hardware does not support it: fp16 without a CUDA GPU, or deterministic training on one.
    """
    device, has_bf16 = _device(accelerator)
    if precision == "fp16" and device != "cuda":
        raise UserError(
            f"trainer.precision=fp16: only CUDA GPUs train in fp16, and this run computes on {device}. Take bf16,"
            " float32 or auto."
        )
    if is_deterministic and device == "cuda":
        raise UserError(
            "trainer.deterministic=true: on a GPU torch has no deterministic form of the gradient of trilinear (or"
            " bilinear) upsampling, nor of cross-entropy (NLLLoss). Leave it out, or take trainer.accelerator=cpu."
        )
    fastest: Precision = "bf16" if has_bf16 else "float32"
    chosen = fastest if precision == "auto" else cast(Precision, precision)
    is_channels_last = device != "mps" if channels_last == "auto" else bool(channels_last)
    ability = "has fast bf16" if has_bf16 else "has no fast bf16"
    return HardwareChoice(device, chosen, is_channels_last, is_tf32, ability)


def choose_for_prediction(precision: str, channels_last: str | bool, device: str | None) -> HardwareChoice:
    """Choose for a trained network; without a CUDA GPU, one trained in fp16 uses the fastest precision."""
    accelerator = "auto" if device is None else device.partition(":")[0]
    is_possible = precision != "fp16" or _device(accelerator)[0] == "cuda"
    return choose_for_hardware(precision if is_possible else "auto", channels_last, accelerator)


def fused_where_possible(factory: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    """Return ``factory`` with ``fused=True`` if its optimizer has such a step and the user did not choose another.

    A fused step runs in one kernel instead of one per tensor. On two cores a step over the paper's 6.4 million
    parameters took 0.36 of the time with AdamW, 0.89 with Adam and 0.65 with SGD with momentum
    (``experiments/benchmarks/optimizer_step.py``).
    """
    parameters = inspect.signature(factory).parameters
    chosen: Mapping[str, object] = factory.keywords if isinstance(factory, partial) else {}
    has_choice = any(chosen.get(name) is not None for name in ("fused", "foreach", "capturable", "differentiable"))
    return partial(factory, fused=True) if "fused" in parameters and not has_choice else factory


def set_tf32(is_tf32: bool) -> None:
    """Set whether CUDA rounds the factors of float32 products to TF32; torch's default does so in convolutions."""
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = is_tf32
        torch.backends.cudnn.allow_tf32 = is_tf32


def num_devices(devices: int | str, accelerator: str) -> int:
    """Return the number of training processes: ``devices``, or if it is "auto" one per GPU, 1 without GPUs.

    Raises:
        UserError: the machine has fewer GPUs, or ``devices`` is not a number from 1 on.
    """
    uses_gpus = _device(accelerator)[0] == "cuda"
    if devices == "auto":
        return torch.cuda.device_count() if uses_gpus else 1
    if not isinstance(devices, int) or devices < 1:
        raise UserError(f"trainer.devices={devices}: give a number from 1 on, or auto for all GPUs.")
    if uses_gpus and devices > torch.cuda.device_count():
        raise UserError(f"trainer.devices={devices}: this machine has {torch.cuda.device_count()} GPUs.")
    return devices


def check_can_be_sharded(trainer: TrainerConfig) -> None:
    """Raise UserError if trainer.strategy=fsdp is combined with a setting that needs whole tensors."""
    settings = (("ema", trainer.ema), ("compile", trainer.compile), ("sync_batchnorm", trainer.sync_batchnorm))
    for key, value in settings:
        if trainer.strategy == "fsdp" and value is not None and value is not False:
            raise UserError(
                f"trainer.{key}={value}: cannot be combined with trainer.strategy=fsdp. Leave it out, or take"
                " trainer.strategy=ddp."
            )


def _device(accelerator: str) -> tuple[Device, bool]:
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
    return "cpu", _has_fast_bf16()


def _has_fast_bf16() -> bool:
    """Return whether the processor multiplies bf16, and oneDNN, which computes the convolutions, may use it."""
    # Processors with AMX have it too. The public torch.cpu.get_capabilities is newer than the oldest torch allowed.
    is_supported = torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportPrivateUsage]
    return is_supported and limit_of_onednn() not in _ISA_WITHOUT_BF16
