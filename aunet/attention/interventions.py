"""Interventions on the coefficients of a finished network: replacements of a gate's maps of a whole case.

If a prediction does not change although a map was replaced, the network did not need what the map says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from aunet.attention.case_map import CaseMap, resized


@dataclass(frozen=True)
class GateKind:
    """The properties of a gate that an intervention respects.

    Attributes:
        is_binary: coefficients are 0 or 1 (hard gates).
        is_softmax: coefficients sum to 1 over space, so that their size depends on that of the image.
    """

    is_binary: bool = False
    is_softmax: bool = False


@dataclass(frozen=True)
class GateMap:
    """The own map of a gate in a case, and what the interventions on it need.

    Attributes:
        own: the gate's coefficients, stitched over the whole case; a map per channel has several maps.
        donor: the same gate's coefficients (maps, h, w, d) over the image of another patient; None if there is none.
        spacing: of the image, in mm.
        sigma_mm: standard deviation of the Gaussian that blurs.
        seed: of the permutation that shuffles; all gates of one level should have the same.
        kind: properties of the gate.
    """

    own: CaseMap
    donor: Tensor | None
    spacing: tuple[float, float, float]
    sigma_mm: float = 10.0
    seed: int = 0
    kind: GateKind = field(default_factory=GateKind)


def keep(gate: GateMap) -> CaseMap:
    """Return the own map: a control, which only makes the coefficients of overlapping windows agree."""
    return gate.own


def open_gate(gate: GateMap) -> CaseMap:
    """Return coefficients of 1, as if there were no gate."""
    return gate.own.with_values(torch.ones_like(gate.own.values))


def average(gate: GateMap) -> CaseMap:
    """Return each map's mean over the image of the case, everywhere."""
    means = gate.own.over_image.mean(dim=(1, 2, 3), keepdim=True)
    return gate.own.with_values(means.expand_as(gate.own.values))


def shuffle(gate: GateMap) -> CaseMap:
    """Permute the cells over the image, all maps of the gate alike; the padding keeps its own."""
    cells = gate.own.over_image
    generator = torch.Generator().manual_seed(gate.seed)
    order = torch.randperm(cells[0].numel(), generator=generator)
    return gate.own.with_values_over_image(cells.flatten(1)[:, order].view_as(cells))


def exchange(gate: GateMap) -> CaseMap:
    """Return the map of another patient, its image stretched to that of the case; the padding keeps its own.

    The map of a softmax gate is scaled to the mean of the own map, as its size depends on the number of cells.
    """
    assert gate.donor is not None, "no other patient has a map"
    own = gate.own.over_image
    values = resized(gate.donor, tuple(own.shape[1:]), is_binary=gate.kind.is_binary)
    if gate.kind.is_softmax:
        values = values * (own.mean(dim=(1, 2, 3), keepdim=True) / values.mean(dim=(1, 2, 3), keepdim=True))
    return gate.own.with_values_over_image(values)


def invert(gate: GateMap) -> CaseMap:
    """Return 1 - a for each coefficient a."""
    return gate.own.with_values(1 - gate.own.values)


def blur(gate: GateMap) -> CaseMap:
    """Blur the map over the image with a Gaussian of ``sigma_mm``, repeating its border; the padding keeps its own."""
    cells = gate.own.over_image.numpy()
    sides = [side * cell for side, cell in zip(gate.spacing, gate.own.cell_size, strict=True)]
    sigmas = [gate.sigma_mm / side for side in sides]
    blurred = np.stack([ndimage.gaussian_filter(values, sigmas, mode="nearest") for values in cells])
    return gate.own.with_values_over_image(torch.from_numpy(blurred))


CONTROL = "own, stitched"
MEAN = "mean"
OTHER_CASE = "other case"
INTERVENTIONS: Mapping[str, Callable[[GateMap], CaseMap]] = {
    "open": open_gate,
    MEAN: average,
    "shuffled": shuffle,
    OTHER_CASE: exchange,
    "inverted": invert,
    "blurred": blur,
}


def intervene(name: str, gate: GateMap) -> CaseMap:
    """Return the map that intervention ``name`` puts in place of the gate's own; ``CONTROL`` puts back the own."""
    return keep(gate) if name == CONTROL else INTERVENTIONS[name](gate)
