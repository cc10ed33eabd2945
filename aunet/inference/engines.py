"""The engines that run a trained network on windows: torch, OpenVINO and ONNX Runtime.

OpenVINO and ONNX Runtime read the network as ONNX, which torch writes anew for every size of window.
"""

import copy
import importlib.util
import itertools
import logging
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from aunet.errors import UserError
from aunet.networks.layers import AUTOCAST_TYPES, Precision, channels_last, lay_out_channels_last
from aunet.networks.processor_convolutions import ProcessorConvolutions

EngineName = Literal["torch", "openvino", "onnxruntime"]
OnnxModels = dict[torch.Size, bytes]
T = TypeVar("T")
# Full windows, and those of a last batch that holds fewer.
_SHAPES_KEPT = 2
# Extras of aunet: packages without which an engine does not run.
_EXTRAS: dict[EngineName, tuple[str, tuple[str, ...]]] = {
    "torch": ("", ()),
    "openvino": ("openvino", ("openvino", "onnx", "onnxscript")),
    "onnxruntime": ("onnx", ("onnxruntime", "onnx", "onnxscript")),
}


class UnusableEngineError(UserError):
    """The library of an engine cannot run the network, for the ``reason`` in its own words."""

    def __init__(self, name: EngineName, error: Exception) -> None:
        self.reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        super().__init__(
            f"inference.engine={name}: it cannot run this network ({self.reason}). Set inference.engine=torch."
        )


class Engine(ABC):
    """A network made ready to run: windows (B, C, h, w, d) float32 -> logits (B, K, h, w, d).

    Engines of one network may share ``models``, its ONNX by shape of the input.

    Attributes:
        name: of the library.
        precision: in which it computes.
    """

    name: EngineName

    def __init__(self, network: nn.Module, precision: Precision, models: OnnxModels | None = None) -> None:
        self.precision: Precision = precision
        self._network = fold_batch_norms(network)
        self._models: OnnxModels = {} if models is None else models

    @abstractmethod
    def __call__(self, windows: Tensor) -> Tensor:
        """Return the logits of ``windows``."""


class TorchEngine(Engine):
    """torch with batch norms folded into the convolutions, channels-last."""

    name = "torch"

    def __init__(self, network: nn.Module, precision: Precision, models: OnnxModels | None = None) -> None:
        super().__init__(network, precision, models)
        lay_out_channels_last(self._network)

    def __call__(self, windows: Tensor) -> Tensor:
        """Return the logits of ``windows``, on their device."""
        dtype = AUTOCAST_TYPES.get(self.precision)
        with torch.autocast(windows.device.type, dtype, enabled=dtype is not None), ProcessorConvolutions():
            return self._network(channels_last(windows))


class _OnnxEngine(Engine):
    """An engine that compiles the network once for each shape of its input."""

    def __init__(self, network: nn.Module, precision: Precision, models: OnnxModels | None = None) -> None:
        super().__init__(network, precision, models)
        self._compiled: dict[torch.Size, Callable[[Tensor], Tensor]] = {}

    def __call__(self, windows: Tensor) -> Tensor:
        """Return the logits of ``windows``, on the CPU.

        Raises:
            UnusableEngineError: if the library fails.
        """
        try:
            return self._compiled_for(windows)(windows.contiguous())
        except Exception as error:  # noqa: BLE001 - whatever an exporter or another library raises
            raise UnusableEngineError(self.name, error) from None

    def _compiled_for(self, windows: Tensor) -> Callable[[Tensor], Tensor]:
        shape = windows.shape
        if shape not in self._compiled:
            if shape not in self._models:
                _keep_newest(self._models, shape, write_onnx(self._network, windows))
            _keep_newest(self._compiled, shape, self._compile(self._models[shape]))
        return self._compiled[shape]

    @abstractmethod
    def _compile(self, model: bytes) -> Callable[[Tensor], Tensor]:
        """Return a function that runs the ONNX ``model``."""


def _keep_newest(kept: dict[torch.Size, T], shape: torch.Size, value: T) -> None:
    """Add ``value`` and drop the oldest beyond a few, as scans of all sizes would otherwise fill the memory."""
    kept[shape] = value
    while len(kept) > _SHAPES_KEPT:
        del kept[next(iter(kept))]


@lru_cache(maxsize=1)
def _openvino_core() -> Any:
    """Return OpenVINO's core, the only one of this process, which is never released.

    Each core sets a stack for the signal handlers of its thread, freed at its end. Of two, the second restores the
    stack of the first, freed by then, and the next signal with a handler, such as Ctrl-C, ends the process (2026.4).
    """
    import openvino

    return openvino.Core()


class OpenVinoEngine(_OnnxEngine):
    """Intel's OpenVINO on the CPU."""

    name = "openvino"

    def _compile(self, model: bytes) -> Callable[[Tensor], Tensor]:
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        core = _openvino_core()
        request = core.compile_model(core.read_model(model), "CPU", hints).create_infer_request()

        def run(windows: Tensor) -> Tensor:
            logits = request.infer({0: windows.numpy()}, share_inputs=True, share_outputs=False)[0]
            return torch.from_numpy(logits)

        return run


class OnnxRuntimeEngine(_OnnxEngine):
    """ONNX Runtime on the CPU, in float32."""

    name = "onnxruntime"

    def __init__(self, network: nn.Module, precision: Precision, models: OnnxModels | None = None) -> None:
        super().__init__(network, "float32", models)

    def _compile(self, model: bytes) -> Callable[[Tensor], Tensor]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def run(windows: Tensor) -> Tensor:
            outputs: Sequence[Any] = session.run(None, {name: windows.numpy()})
            return torch.from_numpy(outputs[0])

        return run


ENGINES: dict[EngineName, type[Engine]] = {
    "torch": TorchEngine,
    "openvino": OpenVinoEngine,
    "onnxruntime": OnnxRuntimeEngine,
}


def is_installed(name: EngineName) -> bool:
    """Return whether the packages of an engine are there."""
    return all(importlib.util.find_spec(package) is not None for package in _EXTRAS[name][1])


def check_engine(name: EngineName, device: torch.device) -> None:
    """Raise UserError if an engine is not installed or does not run on ``device``."""
    if not is_installed(name):
        raise UserError(
            f"inference.engine={name}: it is not installed. Run pip install 'aunet[{_EXTRAS[name][0]}]', or leave the"
            " setting out."
        )
    if name != "torch" and device.type != "cpu":
        raise UserError(
            f"inference.engine={name}: it computes on the CPU, and this prediction on {device}. Add --device cpu, or"
            " set inference.engine=torch."
        )


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose batch norms are part of the convolutions before them."""
    folded = copy.deepcopy(network).eval()
    parents = Counter(id(child) for module in folded.modules() for child in module.children())
    for sequence in folded.modules():
        # A subclass may run its parts in another order, and a convolution may run elsewhere without the norm.
        if isinstance(sequence, nn.Sequential) and type(sequence).forward is nn.Sequential.forward:
            _fold_in(sequence, parents)
    return folded


def _fold_in(sequence: nn.Sequential, parents: Mapping[int, int]) -> None:
    names = list(dict(sequence.named_children()))
    for first, second in itertools.pairwise(names):
        convolution, norm = sequence.get_submodule(first), sequence.get_submodule(second)
        if not isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d) or not norm.track_running_stats:
            continue
        if isinstance(convolution, nn.Conv2d | nn.Conv3d) and parents[id(convolution)] == parents[id(norm)] == 1:
            sequence.register_module(first, fuse_conv_bn_eval(convolution, norm))
            sequence.register_module(second, nn.Identity())


def write_onnx(network: nn.Module, windows: Tensor, size_multiple: Sequence[int] | None = None) -> bytes:
    """Return ``network`` as an ONNX model "image" -> "logits" for inputs of the shape of ``windows``.

    With a ``size_multiple``, the spatial sides of the input may be any multiples of it; those of ``windows`` must be
    larger ones, as the exporter takes a side of one multiple for a constant.
    """
    shapes = None
    if size_multiple is not None:
        letters = ("h", "w", "d")
        sides = zip(letters, size_multiple, strict=True)
        shapes = ({2 + axis: unit * torch.export.Dim(name, min=1) for axis, (name, unit) in enumerate(sides)},)
    with quiet_exporters(), torch.inference_mode(False), torch.no_grad():
        image = torch.zeros(windows.shape)
        program = torch.onnx.export(
            # Given a network that it cannot follow, torch 2.8 exports what this one image makes of it.
            torch.export.export(network, (image,), strict=False) if shapes is None else network,
            (image,),
            dynamo=True,
            verbose=False,
            dynamic_shapes=shapes,
            input_names=["image"],
            output_names=["logits"],
        )
    assert program is not None
    model: Any = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.functions):
        part.ClearField("metadata_props")  # it holds the paths of this machine's Python files
    return model.SerializeToString()


@contextmanager
def quiet_exporters() -> Generator[None]:
    """Suppress the exporters' remarks on their own parts, such as packages that this network does not need."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
