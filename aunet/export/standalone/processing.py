"""The steps around an exported network, in NumPy alone: resampling, intensities, windows.

``processing.json`` beside the network holds the settings. Axes run to the right, anterior and superior (RAS+).
Letters: C channels, K classes, H, W, D voxels of the scan; h, w, d voxels of the network's grid.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Positions = NDArray[np.float64]
# Relative: scans of nominally one spacing differ by rounding in their headers.
_SAME_SPACING = 1e-3
_VOXELS_AT_ONCE = 2**22


class Intensities(TypedDict):
    """How one channel is standardised.

    Keys:
        modality: ct, mr, pet or picture.
        window: the lowest and the highest value kept, others are clipped; None clips nothing.
        mean: subtracted from every scan; None for the mean of the scan itself.
        sd: every scan is divided by it; None for the standard deviation of the scan itself.
        measured_on: voxels from which a scan's own mean and deviation are measured: "all", "nonzero" or "positive".
    """

    modality: str
    window: list[float] | None
    mean: float | None
    sd: float | None
    measured_on: str


class Windows(TypedDict):
    """How windows are laid over a scan.

    Keys:
        patch_size: of a window (voxels).
        overlap: share that neighbouring windows have in common at least.
        size_multiple: sides and first voxels of windows are multiples of it.
        one_pass_voxels: a padded scan of at most so many voxels is one window.
    """

    patch_size: list[int]
    overlap: float
    size_multiple: list[int]
    one_pass_voxels: int


@dataclass(frozen=True)
class Axis:
    """One axis of a scan and of the network's grid, which has the same centre and covers the scan.

    Attributes:
        size: voxels of the scan.
        grid_size: voxels of the grid.
        step: voxels of the scan per voxel of the grid.
        first: place of the grid's first voxel, in voxels of the scan.
    """

    size: int
    grid_size: int
    step: float
    first: float

    def to_grid(self, method: str) -> Array:
        """Return the weights (grid_size, size) with which voxels of the scan become those of the grid."""
        positions: Positions = np.round(self.step * np.arange(self.grid_size, dtype=np.float64) + self.first, 6)
        return _weights(positions, self.step, self.size, method)

    def to_scan(self, method: str) -> Array:
        """Return the weights (size, grid_size) with which voxels of the grid become those of the scan."""
        positions: Positions = np.round((np.arange(self.size, dtype=np.float64) - self.first) / self.step, 6)
        return _weights(positions, 1 / self.step, self.grid_size, method)


def check_scan(image: Array, unit: int) -> None:
    """Raise ValueError for NaN, infinite voxels, and a ``unit`` (xyzt_units of the header) of metres or micrometres."""
    if not np.isfinite(image).all():
        raise ValueError("The scan holds NaN or infinite voxels; replace them by numbers.")
    if unit & 7 in (1, 3):
        raise ValueError("The unit of the scan (xyzt_units) is not mm; convert its affine to mm.")


def plan_axes(shape: Sequence[int], spacing: Sequence[float], wanted: Sequence[float]) -> list[Axis]:
    """Return the axes of a scan of ``shape`` and ``spacing`` (mm) and of the grid of the ``wanted`` spacing."""
    axes: list[Axis] = []
    for size, side, other in zip(shape, spacing, wanted, strict=True):
        step = other / side
        step = 1.0 if abs(step - 1) < _SAME_SPACING else step
        grid_size = max(math.ceil(size / step - 1e-3), 1)
        axes.append(Axis(size, grid_size, step, ((size - 1) - (grid_size - 1) * step) / 2))
    return axes


def resample(volume: Array, weights: Sequence[Array]) -> Array:
    """Return ``volume`` (H, W, D) after a product with the weights (target, source) of each axis."""
    for axis in sorted(range(3), key=lambda axis: weights[axis].shape[0] / weights[axis].shape[1]):
        volume = np.moveaxis(np.tensordot(weights[axis], volume, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(volume)


def prepare(channels: Array, axes: Sequence[Axis], method: str, intensities: Sequence[Intensities]) -> Array:
    """Return the input (C, h, w, d) of the network for a scan (C, H, W, D)."""
    weights = [axis.to_grid(method) for axis in axes]
    pairs = zip(channels, intensities, strict=True)
    return np.stack([standardise(resample(channel, weights), settings) for channel, settings in pairs])


def standardise(channel: Array, settings: Intensities) -> Array:
    """Return a channel (h, w, d) clipped, shifted and scaled; a constant one becomes zero."""
    if settings["window"] is not None:
        low, high = settings["window"]
        channel = np.clip(channel, low, high)
    mean, sd = settings["mean"], settings["sd"]
    if mean is None or sd is None:
        chosen = {"all": ..., "nonzero": channel != 0, "positive": channel > 0}[settings["measured_on"]]
        values = channel[chosen].reshape(-1)
        if not values.size:
            return channel
        center = values.mean(dtype=np.float64)
        parts = np.array_split(values, 1 + values.size // _VOXELS_AT_ONCE)
        mean, sd = center, math.sqrt(sum(float(np.square(part - center).sum()) for part in parts) / values.size)
    return (channel - np.float32(mean)) / np.float32(sd or 1.0)


def label_of(
    logits: Iterable[Array], axes: Sequence[Axis], method: str, *, are_regions: bool = False
) -> NDArray[np.uint8]:
    """Return the label map (H, W, D) of a scan: the class with the highest of the ``logits`` (K, h, w, d) there.

    If they ``are_regions``, which may overlap, each is painted in turn where its logit is positive.
    """
    weights = [axis.to_scan(method) for axis in axes]
    if are_regions:
        return paint(resample(values, weights) for values in logits)
    label, highest = np.zeros([axis.size for axis in axes], np.uint8), np.zeros((), np.float32)
    for index, values in enumerate(logits):
        candidate = resample(values, weights)
        if index == 0:
            highest = candidate
            continue
        label[candidate > highest] = index
        np.maximum(highest, candidate, out=highest)
    return label


def paint(regions: Iterable[Array]) -> NDArray[np.uint8]:
    """Return the label map (H, W, D) of the logits of regions: number 1, 2, ... of the last one that is positive."""
    label = np.zeros((), np.uint8)
    for number, values in enumerate(regions, start=1):
        label = np.where(values > 0, np.uint8(number), label)
    return label


def predict_windows(network: Callable[[Array], Array], image: Array, settings: Windows) -> Array:
    """Return logits (K, h, w, d) of an ``image`` (C, h, w, d), the weighted means over the windows that see a voxel.

    ``network`` maps (1, C, *window) to logits (1, K, *window).
    """
    size = image.shape[1:]
    padded, window, corners = _lay_out(size, settings)
    before = [(outer - inner) // 2 for outer, inner in zip(padded, size, strict=True)]
    after = [outer - inner - first for outer, inner, first in zip(padded, size, before, strict=True)]
    image = np.pad(image, [(0, 0), *zip(before, after, strict=True)])
    inside = (slice(None), *(slice(first, first + length) for first, length in zip(before, size, strict=True)))
    if len(corners) == 1:
        return network(np.ascontiguousarray(image[None], dtype=np.float32))[0][inside]
    importance = gaussian(window)
    sums, total = np.zeros((), np.float32), np.zeros(padded, np.float32)
    for corner in corners:
        place = tuple(slice(first, first + length) for first, length in zip(corner, window, strict=True))
        logits = network(np.ascontiguousarray(image[(None, slice(None), *place)], dtype=np.float32))[0]
        if sums.ndim == 0:
            sums = np.zeros((len(logits), *padded), np.float32)
        sums[(slice(None), *place)] += logits * importance
        total[place] += importance
    return (sums / total)[inside]


def gaussian(window: Sequence[int]) -> Array:
    """Return the weights of a window's voxels: 1 in the middle, an eighth of each side as deviation, 0.001 at least."""
    bells = [np.exp(-((np.arange(side) - (side - 1) / 2) ** 2) / (2 * (side / 8) ** 2)) for side in window]
    weights = bells[0][:, None, None] * bells[1][:, None] * bells[2]
    return np.maximum(weights, max(weights.min(), 1e-3)).astype(np.float32)


def _lay_out(size: Sequence[int], settings: Windows) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, ...]]]:
    """Return the padded size of an image, the size of its windows and their first voxels."""
    multiples = settings["size_multiple"]
    window = tuple(_round_up(side, unit) for side, unit in zip(settings["patch_size"], multiples, strict=True))
    sides = zip(size, window, multiples, strict=True)
    padded = tuple(max(_round_up(length, unit), side) for length, side, unit in sides)
    if math.prod(padded) <= settings["one_pass_voxels"]:
        window = padded
    axes = zip(padded, window, multiples, strict=True)
    starts = [_starts(length, side, unit, settings["overlap"]) for length, side, unit in axes]
    return padded, window, list(itertools.product(*starts))


def _starts(length: int, side: int, unit: int, overlap: float) -> list[int]:
    """Return the first voxels of the windows along one axis: spread evenly from 0 on, the last one at the end."""
    rest = length - side
    intervals = math.ceil(rest / (side * (1 - overlap)) - 1e-9)
    steps = rest // unit
    places = [(2 * index * steps + intervals) // (2 * intervals) for index in range(1, intervals + 1)]
    return [0, *(unit * place for place in dict.fromkeys(places) if place > 0)]


def _round_up(length: int, unit: int) -> int:
    return -(-length // unit) * unit


def _weights(positions: Positions, extent: float, size: int, method: str) -> Array:
    """Return weights (positions, size) of ``size`` voxels at ``positions`` among them.

    With the method "area", a target of an ``extent`` above one voxel is the mean over that extent within the source;
    otherwise values are interpolated linearly, and the border value continues outside.
    """
    voxels = np.arange(size)
    if method != "area" or extent <= 1 + _SAME_SPACING:
        return np.maximum(1 - np.abs(np.clip(positions, 0, size - 1)[:, None] - voxels), 0).astype(np.float32)
    low, high = (np.clip(positions + half + 0.5, 0, size)[:, None] for half in (-extent / 2, extent / 2))
    share = np.clip(np.minimum(high, voxels + 1) - np.maximum(low, voxels), 0, None)
    is_beyond = high - low < _SAME_SPACING
    border = voxels == np.minimum(np.floor(low), size - 1)
    return np.where(is_beyond, border, share / np.where(is_beyond, 1, high - low)).astype(np.float32)
