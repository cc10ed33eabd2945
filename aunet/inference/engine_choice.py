"""The choice of the fastest engine that agrees with float32 torch, measured on a patch and remembered."""

import contextlib
import logging
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from aunet.files import read_json_if_sound, write_json
from aunet.inference.engines import (
    ENGINES,
    Engine,
    EngineName,
    OnnxModels,
    TorchEngine,
    UnusableEngineError,
    check_engine,
    is_installed,
)
from aunet.networks.layers import Precision
from aunet.targets import EXCLUSIVE, Target

_log = logging.getLogger(__name__)
# Share of the patch's voxels whose label must be that of float32 torch.
_SMALLEST_SHARE = 0.999
# The best of so many runs after a warm-up, as other processes only slow a run down.
_RUNS = 2


@dataclass(frozen=True)
class Measured:
    """An engine's seconds for a patch, and the share of its voxels with the label of float32 torch."""

    engine: EngineName
    precision: Precision
    seconds: float
    equal_labels: float


@dataclass(frozen=True)
class EngineChoice:
    """The setting ``inference.engine`` with all that it needs to be resolved on the first case.

    Attributes:
        name: an engine, or "auto" for the fastest one that agrees with float32 torch.
        precision: of an engine that is named.
        has_bf16: whether this machine multiplies bf16 fast, so that "auto" tries it.
        file: JSON in which the choices of "auto" are remembered; None remembers nothing.
        run: describes the weights, so that another checkpoint is measured anew.
        target: the meaning of the logits, whose label maps must agree.
    """

    name: Literal["auto", "torch", "openvino", "onnxruntime"]
    precision: Precision = "float32"
    has_bf16: bool = False
    file: Path | None = None
    run: str = ""
    target: Target = EXCLUSIVE

    def resolve(self, network: nn.Module, patch: Tensor) -> Engine:
        """Return the engine that will run ``network``; ``patch`` (1, C, h, w, d) is part of a real image.

        Raises:
            UserError: if a named engine is not installed, or does not run on the patch's device.
        """
        if self.name != "auto":
            check_engine(self.name, patch.device)
            return ENGINES[self.name](network, self.precision)
        if patch.device.type != "cpu":
            return TorchEngine(network, self.precision)
        key = self._key(patch)
        remembered = read_json_if_sound(self.file).get(key) if self.file else None
        chosen, models = _as_measured(remembered), OnnxModels()
        if chosen is None:
            chosen = fastest_that_agrees(network, patch, self.has_bf16, models, self.target)
            self._remember(key, chosen)
        else:
            _log.info("Engine: %s, as measured before on this machine.", _describe(chosen))
        return ENGINES[chosen.engine](network, chosen.precision, models)

    def _key(self, patch: Tensor) -> str:
        """Return a digest of the machine, the libraries, the weights and the size of the patch."""
        facts = (platform.node(), platform.machine(), torch.get_num_threads(), self.has_bf16, self.run)
        versions = [_version(package) for package in ("torch", "openvino", "onnxruntime")]
        return sha256(repr((*facts, *versions, tuple(patch.shape))).encode()).hexdigest()[:16]

    def _remember(self, key: str, chosen: Measured) -> None:
        if self.file is not None:
            with contextlib.suppress(OSError):  # a cache that cannot be written costs another measurement only
                write_json(self.file, read_json_if_sound(self.file) | {key: asdict(chosen)})


def fastest_that_agrees(
    network: nn.Module, patch: Tensor, has_bf16: bool, models: OnnxModels, target: Target = EXCLUSIVE
) -> Measured:
    """Measure every installed engine on ``patch`` (1, C, h, w, d), log one line and return the choice.

    ``models`` will hold the network as ONNX; ``target`` makes label maps of its logits.
    """
    with torch.inference_mode():
        reference = TorchEngine(network, "float32")
        label = target.label_map(reference(patch)[0])
        base = Measured("torch", "float32", _seconds(reference, patch), 1.0)
        others = [_measure(engine, patch, label, target) for engine in _candidates(network, has_bf16, models)]
    measured = [base, *(one for one in others if one is not None)]
    chosen = min((one for one in measured if one.equal_labels >= _SMALLEST_SHARE), key=lambda one: one.seconds)
    rest = "; ".join(_describe(one) for one in measured if one is not chosen)
    _log.info("Engine: %s%s", _describe(chosen), f"; others: {rest}" if rest else "")
    return chosen


def _candidates(network: nn.Module, has_bf16: bool, models: OnnxModels) -> Iterator[Engine]:
    """Yield the engines besides float32 torch, one at a time."""
    precisions: list[Precision] = ["float32", "bf16"] if has_bf16 else ["float32"]
    if has_bf16:
        yield TorchEngine(network, "bf16")
    if is_installed("openvino"):
        yield from (ENGINES["openvino"](network, precision, models) for precision in precisions)
    if is_installed("onnxruntime"):
        yield ENGINES["onnxruntime"](network, "float32", models)


def _measure(engine: Engine, patch: Tensor, label: Tensor, target: Target) -> Measured | None:
    """Return the time and agreement of ``engine``; None, with a warning, if it cannot run the network."""
    try:
        share = float((target.label_map(engine(patch)[0]) == label).double().mean())
        return Measured(engine.name, engine.precision, _seconds(engine, patch), share)
    except UnusableEngineError as error:
        _log.warning("Engine %s cannot run this network (%s); it is left out.", engine.name, error.reason)
        return None


def _seconds(engine: Engine, patch: Tensor) -> float:
    seconds: list[float] = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        engine(patch)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _describe(measured: Measured) -> str:
    name = f"{measured.engine} {measured.precision}"
    return f"{name} {measured.seconds:.3g} s per patch, {100 * measured.equal_labels:.2f} % equal labels"


def _as_measured(remembered: object) -> Measured | None:
    """Return a remembered choice; None if it is missing, damaged or no longer installed."""
    if not isinstance(remembered, dict):
        return None
    values = cast(dict[str, Any], remembered)
    engine, precision = values.get("engine"), values.get("precision")
    if set(values) != set(Measured.__dataclass_fields__) or engine not in tuple(ENGINES) or not is_installed(engine):
        return None
    are_numbers = all(isinstance(values[name], float) for name in ("seconds", "equal_labels"))
    return Measured(**values) if are_numbers and precision in get_args(Precision) else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
