"""Prediction of whole volumes by a network that sees patches: overlapping windows, weighted and stitched.

Letters: C channels, K classes, H, W, D voxels of the volume; h, w, d cells of a gate's coarser grid.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aunet.inference.coefficients import LevelCoefficients
from aunet.inference.window_layout import Triple, Window, WindowLayout, window_slices
from aunet.networks.processor_convolutions import ProcessorConvolutions
from aunet.networks.protocols import AttentionNetwork, has_softmax_gates

_LOGITS = 0  # key of the logits among the maps of a window; levels of coefficients count from 1


@dataclass(frozen=True)
class VolumePrediction:
    """Logits (K, H, W, D) and the coefficients of each gated level, finest first: float32, on the CPU.

    The cells of a level cover the image; those at its border may reach beyond it.
    """

    logits: Tensor
    coefficients: dict[int, LevelCoefficients] = field(default_factory=dict[int, LevelCoefficients])


def predict_volume(
    network: nn.Module, image: Tensor, window: Window, *, with_attention: bool = False
) -> VolumePrediction:
    """Predict an image (C, H, W, D) of any size on the network's device, in evaluation mode and without gradients.

    The image is padded with zeros on both sides, to the window's patch size at least and to multiples of its size
    multiple. Coefficients are averaged at their own resolution with the windows' weights. The caller may choose a lower
    precision (``torch.autocast``); sums are float32.
    """
    layout = window.lay_out(image.shape[1:])
    padded = layout.pad(image.to(_device(network), torch.float32))
    with torch.no_grad(), _evaluating(network), ProcessorConvolutions():
        maps = _stitch(_window_maps(network, padded, layout, window.window_batch, with_attention), layout)
    logits, _, _ = _crop(maps.pop(_LOGITS), layout)
    cropped = {level: _crop(values, layout) for level, values in sorted(maps.items())}
    coefficients = {
        level: LevelCoefficients(level, values.numpy(), cell_size, offset)
        for level, (values, cell_size, offset) in cropped.items()
    }
    return VolumePrediction(logits, coefficients)


def _window_maps(
    network: nn.Module, padded: Tensor, layout: WindowLayout, window_batch: int, with_attention: bool
) -> Iterator[tuple[Triple, dict[int, Tensor]]]:
    """Yield each window's corner and the network's output there: {0: logits, level: coefficients}, each (maps, ...)."""
    attending = network if with_attention and isinstance(network, AttentionNetwork) else None
    for first in range(0, len(layout.corners), window_batch):
        corners = layout.corners[first : first + window_batch]
        windows = torch.stack([layout.cut(padded, corner) for corner in corners])
        logits, coefficients = attending.forward_with_attention(windows) if attending else (network(windows), {})
        assert not coefficients or len(layout.corners) == 1 or not has_softmax_gates(network), (
            "a softmax over one window cannot be stitched with another window's: predict one patch"
        )
        for index, corner in enumerate(corners):
            yield corner, {_LOGITS: logits[index], **{level: maps[index] for level, maps in coefficients.items()}}


def _stitch(windows: Iterator[tuple[Triple, dict[int, Tensor]]], layout: WindowLayout) -> dict[int, Tensor]:
    """Return each map over the whole padded volume, at its own resolution."""
    if len(layout.corners) == 1:
        _, maps = next(windows)
        return {key: values.float() for key, values in maps.items()}
    stitched: dict[int, _Stitched] = {}
    for corner, maps in windows:
        for key, values in maps.items():
            if key not in stitched:
                stitched[key] = _Stitched(values, layout)
            stitched[key].add(values, corner)
    return {key: sums.mean() for key, sums in stitched.items()}


class _Stitched:
    """Weighted sums of one kind of map over the padded volume; a coarser cell has the mean weight of its voxels."""

    def __init__(self, first: Tensor, layout: WindowLayout) -> None:
        self._cell_size = _cell_size(first, layout.window)
        shape = [size // cell for size, cell in zip(layout.padded_size, self._cell_size, strict=True)]
        importance = layout.importance().to(first.device, torch.float32)
        self._weights = F.avg_pool3d(importance[None], self._cell_size)[0]
        self._sums = torch.zeros((first.shape[0], *shape), device=first.device)
        self._total = torch.zeros(shape, device=first.device)

    def add(self, values: Tensor, corner: Triple) -> None:
        """Add a window's map (maps, ...) at its corner in the padded volume (voxels)."""
        first = [start // cell for start, cell in zip(corner, self._cell_size, strict=True)]
        place = window_slices(first, self._weights.shape)
        self._sums[(slice(None), *place)] += values.float() * self._weights
        self._total[place] += self._weights

    def mean(self) -> Tensor:
        """Return the weighted mean of all windows."""
        return self._sums.div_(self._total)


def _crop(values: Tensor, layout: WindowLayout) -> tuple[Tensor, Triple, Triple]:
    """Return the cells that cover the image, their size and where the first begins, in voxels of the image."""
    padded_size: Triple = layout.padded_size
    cell_size = _cell_size(values, padded_size)
    axes = list(zip(layout.size, layout.before, cell_size, strict=True))
    kept = [slice(before // cell, -(-(before + size) // cell)) for size, before, cell in axes]
    first, second, third = (before // cell * cell - before for _, before, cell in axes)
    return values[(slice(None), *kept)].contiguous().cpu(), cell_size, (first, second, third)


def _cell_size(values: Tensor, extent: Triple) -> Triple:
    """Return how many voxels a cell of ``values`` (maps, ...) spans if all span ``extent`` voxels."""
    first, second, third = (voxels // cells for voxels, cells in zip(extent, values.shape[1:], strict=True))
    return first, second, third


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


@contextmanager
def _evaluating(network: nn.Module) -> Generator[None]:
    """Switch to evaluation mode; afterwards restore the mode of every module, frozen ones included."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, is_training in modes:
            module.training = is_training
