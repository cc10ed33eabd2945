"""Prediction of whole cases with the coefficients of a network's gates watched or replaced."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from aunet.attention.case_map import CaseMap, case_map
from aunet.attention.interventions import GateKind
from aunet.errors import UserError
from aunet.inference.predictor import Predictor
from aunet.inference.sliding_window import VolumePrediction
from aunet.inference.window_layout import Triple, WindowLayout
from aunet.networks import HardGate, UNet
from aunet.networks.gates import IdentitySkip
from aunet.networks.protocols import AttentionNetwork, NormalizedGate, ReplaceableGate
from aunet.networks.slice_by_slice import unwrap


class GateKey(NamedTuple):
    """A gate by its level (1 is the full resolution) and its number at this level, from 1."""

    level: int
    number: int

    def __str__(self) -> str:
        return f"level {self.level} gate {self.number}"


@dataclass(frozen=True)
class CasePrediction:
    """Logits (K, H, W, D) of a case on its image's grid, and the stitched map of each gate, if it was watched."""

    logits: Tensor
    maps: Mapping[GateKey, CaseMap]


def gates_of(network: nn.Module) -> dict[GateKey, ReplaceableGate]:
    """Return the gates of ``network``, coarsest level last; empty if it gates no skip.

    Raises:
        UserError: for a gate of the user's own whose coefficients cannot be reached.
    """
    inner = unwrap(network)
    if not isinstance(inner, UNet):
        return {}
    gates: dict[GateKey, ReplaceableGate] = {}
    for level, skip in enumerate(inner.skips, start=1):
        found = [module for module in skip.modules() if isinstance(module, ReplaceableGate)]
        if not found and not isinstance(skip, IdentitySkip):
            raise UserError(
                f"level {level} is gated by {type(skip).__name__}, whose coefficients cannot be replaced. Derive the"
                " gate from aunet.networks.GridGate, or pass its coefficients through self.applied = nn.Identity()."
            )
        gates |= {GateKey(level, number): gate for number, gate in enumerate(found, start=1)}
    return gates


def kind_of(gate: ReplaceableGate) -> GateKind:
    """Return the properties of ``gate`` that interventions respect."""
    is_softmax = isinstance(gate, NormalizedGate) and gate.is_normalized_over_space
    return GateKind(isinstance(gate, HardGate), is_softmax)


class GateProbe:
    """A predictor whose gates can be watched and replaced, consistently between the windows of a case.

    The windows are those of the run's own prediction. A softmax gate competes within each window; as all windows of a
    case have one size, their maps share one unit and are averaged like the others.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.gates = gates_of(predictor.network)
        self._windowed = _WindowedNetwork(predictor.network, self.gates)
        self._predictor = copy(predictor)
        self._predictor.network = self._windowed

    def watch(self, image: Tensor) -> CasePrediction:
        """Predict ``image`` (C, H, W, D) unchanged, and return the coefficients of its gates."""
        layout = layout_of(self._predictor, image)
        prediction = self._predict(image, layout, {}, with_attention=True)
        maps: dict[GateKey, CaseMap] = {}
        for level, coefficients in prediction.coefficients.items():
            keys = [key for key in self.gates if key.level == level]
            values = torch.from_numpy(coefficients.values)
            for key, part in zip(keys, values.chunk(len(keys)), strict=True):
                is_binary = kind_of(self.gates[key]).is_binary  # overlapping windows may disagree: the majority counts
                maps[key] = case_map((part >= 0.5).float() if is_binary else part, layout)
        return CasePrediction(_over_image(prediction.logits, layout), dict(sorted(maps.items())))

    def predict(self, image: Tensor, replaced: Mapping[GateKey, CaseMap]) -> Tensor:
        """Return logits (K, H, W, D) of ``image`` (C, H, W, D) with the maps of ``replaced`` in place of the gates'."""
        layout = layout_of(self._predictor, image)
        return _over_image(self._predict(image, layout, replaced).logits, layout)

    def _predict(
        self, image: Tensor, layout: WindowLayout, replaced: Mapping[GateKey, CaseMap], with_attention: bool = False
    ) -> VolumePrediction:
        padded = layout.pad(image)  # a padded image has the same windows, and its maps cover the padding too
        self._windowed.begin(layout, replaced)
        return self._predictor.predict_preprocessed(padded, with_attention=with_attention)


class RememberingProbe(GateProbe):
    """A probe that keeps the predictions of the last two images it watched, a case's and its donor's.

    The donor of one case is the next case itself, so each is predicted once instead of three times.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self._seen: deque[tuple[Tensor, CasePrediction]] = deque(maxlen=2)

    def watch(self, image: Tensor) -> CasePrediction:
        """Return the prediction of ``image``, an object that does not change in between, as ``GateProbe`` does."""
        for known, prediction in self._seen:
            if known is image:
                return prediction
        prediction = super().watch(image)
        self._seen.append((image, prediction))
        return prediction


def layout_of(predictor: Predictor, image: Tensor) -> WindowLayout:
    """Return the windows in which ``predictor`` predicts ``image`` (C, H, W, D)."""
    return predictor.inferer.lay_out(image.shape[1:])


def _over_image(values: Tensor, layout: WindowLayout) -> Tensor:
    """Cut (K, *padded_size) -> (K, *size)."""
    place = [slice(first, first + size) for first, size in zip(layout.before, layout.size, strict=True)]
    return values[(slice(None), *place)].contiguous()


class _WindowedNetwork(nn.Module):
    """A network that runs over the windows of one case in the order of their layout, as ``predict_volume`` does."""

    def __init__(self, network: nn.Module, gates: Mapping[GateKey, ReplaceableGate]) -> None:
        super().__init__()
        self.network = network
        self._gates = gates
        self._replaced: Mapping[GateKey, CaseMap] = {}
        self._window: Triple = (0, 0, 0)
        self._corners: Iterator[Triple] = iter(())

    def begin(self, layout: WindowLayout, replaced: Mapping[GateKey, CaseMap]) -> None:
        """Set the windows that follow and the maps to put in place of the gates' own."""
        self._replaced, self._window, self._corners = replaced, layout.window, iter(layout.corners)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits (B, K, H, W, D) of the next windows (B, C, H, W, D), with the maps replaced."""
        corners = [next(self._corners) for _ in windows]
        with ExitStack() as hooks:
            for key, whole in self._replaced.items():
                part = torch.stack([whole.cut(corner, self._window) for corner in corners])
                hooks.enter_context(self._gates[key].applied.register_forward_hook(_replacing(part)))
            return self.network(windows)

    def forward_with_attention(self, windows: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Return logits and {level: coefficients} of the next windows (B, C, H, W, D), with nothing replaced."""
        if not isinstance(self.network, AttentionNetwork):
            return self.network(windows), {}
        return self.network.forward_with_attention(windows)


def _replacing(values: Tensor) -> Callable[[nn.Module, Sequence[Tensor], Tensor], Tensor]:
    """Return a forward hook that yields ``values`` (B, M, h, w, d) instead of a gate's own coefficients."""

    def replace(_module: nn.Module, _inputs: Sequence[Tensor], own: Tensor) -> Tensor:
        is_of_slices = own.ndim == 4  # a 2D network sees a volume as a batch of its slices
        replacing = values.movedim(-1, 1).flatten(0, 1) if is_of_slices else values
        assert replacing.shape == own.shape, f"{tuple(replacing.shape)} in place of {tuple(own.shape)}"
        return replacing.to(own)

    return replace
