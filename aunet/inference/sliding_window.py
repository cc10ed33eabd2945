"""Prediction of whole volumes by a network that sees windows of them, stitched.

Letters: C channels, K classes, H, W, D voxels of the volume; h, w, d cells of a gate's coarser grid.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from aunet.inference.coefficients import LevelCoefficients
from aunet.inference.inferers import Inferer
from aunet.inference.stitching import WindowMaps, cell_size, finish_slabs
from aunet.inference.window_layout import Triple, WindowLayout
from aunet.networks.processor_convolutions import ProcessorConvolutions
from aunet.networks.protocols import AttentionNetwork, has_softmax_gates

LOGITS = 0  # key of the logits among the maps of a window; levels of coefficients count from 1
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class VolumePrediction:
    """Logits (K, H, W, D) and the coefficients of each gated level, finest first: float32, on the CPU.

    The cells of a level cover the image; those at its border may reach beyond it.
    """

    logits: Tensor
    coefficients: dict[int, LevelCoefficients] = field(default_factory=dict[int, LevelCoefficients])


def predict_volume(
    network: nn.Module, image: Tensor, inferer: Inferer, *, with_attention: bool = False
) -> VolumePrediction:
    """Predict an image (C, H, W, D) of any size on the network's device, in evaluation mode and without gradients.

    The image is padded with zeros on both sides, to the inferer's patch size at least and to multiples of its size
    multiple. Coefficients are averaged at their own resolution with the windows' weights. The caller may choose a lower
    precision (``torch.autocast``); sums are float32.
    """
    layout, maps = _predict_maps(network, image, inferer, with_attention=with_attention)
    logits, _, _ = _crop(maps.pop(LOGITS), layout)
    return VolumePrediction(logits, _over_image(maps, layout))


def predict_coefficients(network: nn.Module, image: Tensor, inferer: Inferer) -> dict[int, LevelCoefficients]:
    """Return the coefficients of ``predict_volume`` without its logits, which would take most of the memory."""
    layout, maps = _predict_maps(network, image, inferer, with_attention=True, with_logits=False)
    return _over_image(maps, layout)


def _predict_maps(
    network: nn.Module, image: Tensor, inferer: Inferer, *, with_attention: bool, with_logits: bool = True
) -> tuple[WindowLayout, dict[int, Tensor]]:
    """Return the layout, and each map over the whole padded volume by its key."""
    layout = inferer.lay_out(image.shape[1:])
    image = image.to(device_of(network), torch.float32)
    with torch.no_grad(), evaluating(network), ProcessorConvolutions():
        windows = _window_maps(network, image, layout, inferer.window_batch, with_attention)
        if not with_logits:
            windows = ((corner, {key: maps[key] for key in maps if key != LOGITS}) for corner, maps in windows)
        return layout, _assemble(windows, layout)


def _over_image(maps: Mapping[int, Tensor], layout: WindowLayout) -> dict[int, LevelCoefficients]:
    cropped = {level: _crop(values, layout) for level, values in sorted(maps.items())}
    return {
        level: LevelCoefficients(level, values.numpy(), cell_size, offset)
        for level, (values, cell_size, offset) in cropped.items()
    }


def window_logits(
    forward: Forward, image: Tensor, layout: WindowLayout, corners: Sequence[Triple], window_batch: int
) -> Iterator[WindowMaps]:
    """Yield each corner with the logits of its window of ``image`` (C, *size), as ``forward`` returns them.

    Logits of many classes are the largest part of a pass, so here and where they are taken, those of one window are
    released before the next runs.
    """
    for first in range(0, len(corners), window_batch):
        part = corners[first : first + window_batch]
        logits = forward(_windows_at(part, image, layout))
        for index, corner in enumerate(part):
            yield corner, {LOGITS: logits[index]}
        del logits


def _windows_at(corners: Sequence[Triple], image: Tensor, layout: WindowLayout) -> Tensor:
    """Return the windows (B, C, h, w, d) at ``corners``; one alone, which may be the whole volume, is not copied."""
    windows = [layout.cut_from(image, corner) for corner in corners]
    return windows[0][None] if len(windows) == 1 else torch.stack(windows)


def _window_maps(
    network: nn.Module, image: Tensor, layout: WindowLayout, window_batch: int, with_attention: bool
) -> Iterator[WindowMaps]:
    """Yield each window's corner and the network's output there: {0: logits, level: coefficients}, each (maps, ...)."""
    if not with_attention or not isinstance(network, AttentionNetwork):
        yield from window_logits(network, image, layout, layout.corners, window_batch)
        return
    for first in range(0, len(layout.corners), window_batch):
        corners = layout.corners[first : first + window_batch]
        windows = _windows_at(corners, image, layout)
        logits, coefficients = network.forward_with_attention(windows)
        assert not coefficients or len(layout.corners) == 1 or not has_softmax_gates(network), (
            "a softmax over one window cannot be stitched with another window's: predict one patch"
        )
        for index, corner in enumerate(corners):
            yield corner, {LOGITS: logits[index], **{level: maps[index] for level, maps in coefficients.items()}}


def _assemble(windows: Iterator[WindowMaps], layout: WindowLayout) -> dict[int, Tensor]:
    """Return each map over the whole padded volume, at its own resolution."""
    whole: dict[int, Tensor] = {}
    for slab in finish_slabs(windows, layout):
        maps, rows, *cells = slab.values.shape
        if rows == slab.num_rows:
            whole[slab.key] = slab.values
            continue
        if slab.key not in whole:
            whole[slab.key] = slab.values.new_empty((maps, slab.num_rows, *cells))
        whole[slab.key][:, slab.first : slab.first + rows] = slab.values
    return whole


def _crop(values: Tensor, layout: WindowLayout) -> tuple[Tensor, Triple, Triple]:
    """Return the cells that cover the image, their size and where the first begins, in voxels of the image."""
    cells = cell_size(values, layout.padded_size)
    inside, offset = layout.cells_over_image(cells)
    return values[(slice(None), *inside)].contiguous().cpu(), cells, offset


def device_of(network: nn.Module) -> torch.device:
    """Return the device of the network's weights."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


@contextmanager
def evaluating(network: nn.Module) -> Generator[None]:
    """Switch to evaluation mode; afterwards restore the mode of every module, frozen ones included."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, is_training in modes:
            module.training = is_training
