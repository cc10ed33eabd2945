"""Probabilities at the voxels of a scan, row by row: those of one network, or the mean of several.

A row is a plane of the scan across one of its axes. Rows come as windows pass, so memory holds those of a window, not
those of the scan. Letters: K channels of the target; H, W, D voxels of the scan.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aunet.classes import Labels
from aunet.data.preprocessing.region import Box
from aunet.inference.native_space import RowRestorer
from aunet.inference.prediction import FloatVolume, Outputs, Prediction
from aunet.targets import EXCLUSIVE, Target, target_of

Allocate = Callable[[tuple[int, ...]], NDArray[np.float32]]
"""A function that returns an array of a shape, in memory or on disk."""


@dataclass(frozen=True)
class ScanRow:
    """The row ``index`` of a scan: ``probabilities`` (K, *plane), ``label`` (*plane) uint8 and ``entropy`` (*plane).

    The entropy (nats) is the mean of those of all members: networks and mirror images.
    """

    index: int
    probabilities: Tensor
    label: Tensor
    entropy: Tensor


def restored_rows(
    parts: Iterable[Tensor],
    restorer: RowRestorer,
    shape: Sequence[int],
    has_information: bool,
    target: Target = EXCLUSIVE,
) -> Iterator[ScanRow]:
    """Yield the rows of a scan from rows (maps, rows, w, d) of logits on a grid of ``shape`` (h, w, d).

    Voxels outside that grid are background. If ``has_information``, the last map is the mutual information of class
    and mirror image, by which the mean of their entropies falls short of the entropy of the mean.
    """
    outside = [torch.from_numpy(is_outside) for is_outside in restorer.mapping.outside(shape)]
    across = [axis for axis in range(3) if axis != restorer.axis]
    is_beyond = outside[across[0]][:, None] | outside[across[1]]
    for rows in parts:
        for part, maps in restorer.add(rows):
            values = torch.stack([resampled.movedim(restorer.axis, 0) for resampled in maps])
            for number, index in enumerate(range(part.start, part.stop)):
                is_background = is_beyond | outside[restorer.axis][index]
                yield _scan_row(index, values[:, number], is_background, has_information, target)


def _scan_row(index: int, values: Tensor, is_background: Tensor, has_information: bool, target: Target) -> ScanRow:
    logits = values[:-1] if has_information else values
    if is_background.any():
        logits = target.fill_background(logits.clone(), is_background)
    probabilities = target.probabilities(logits)
    entropy = target.entropy(probabilities)
    if has_information:
        entropy = entropy - values[-1].masked_fill(is_background, 0)
    return ScanRow(index, probabilities, target.label_of_maps(logits), entropy)


def uncropped_rows(
    rows: Iterable[ScanRow], box: Box, shape: Sequence[int], restorer: RowRestorer, labels: Labels
) -> Iterator[ScanRow]:
    """Yield all rows of a scan of ``shape`` from those of its ``box``; outside it is background.

    ``restorer`` made ``rows`` and has their axis and order, so that those of several networks arrive together.
    """
    axis, target = restorer.axis, target_of(labels)
    plane = [length for other, length in enumerate(shape) if other != axis]
    inside = tuple(slice(box.start[other], box.stop[other]) for other in range(3) if other != axis)
    probabilities = torch.zeros(len(labels.outputs), *plane)
    empty = ScanRow(0, probabilities, torch.zeros(*plane, dtype=torch.uint8), torch.zeros(*plane))
    target.fill_background(empty.probabilities, torch.ones(*plane, dtype=torch.bool), are_logits=False)
    below, above = range(box.start[axis]), range(box.stop[axis], shape[axis])
    first, last = (above, below) if restorer.is_descending else (below, above)
    yield from (replace(empty, index=index) for index in first)
    for row in rows:
        whole = [values.clone() for values in (empty.probabilities, empty.label, empty.entropy)]
        for values, found in zip(whole, (row.probabilities, row.label, row.entropy), strict=True):
            values[(..., *inside)] = found
        yield ScanRow(row.index + box.start[axis], *whole)
    yield from (replace(empty, index=index) for index in last)


def mean_rows(members: Sequence[Iterator[ScanRow]], target: Target = EXCLUSIVE) -> Iterator[ScanRow]:
    """Yield each row once all ``members`` have yielded it, with the mean of their probabilities and entropies.

    The member that is furthest behind is asked next, so that few rows wait.
    """
    counts = [0] * len(members)
    waiting: dict[int, list[ScanRow]] = {}
    running = set(range(len(members)))
    while running:
        member = min(running, key=lambda number: counts[number])
        row = next(members[member], None)
        if row is None:
            running.discard(member)
            continue
        counts[member] += 1
        rows = waiting.setdefault(row.index, [])
        rows.append(row)
        if len(rows) == len(members):
            yield _mean_row(waiting.pop(row.index), target)


def _mean_row(rows: Sequence[ScanRow], target: Target) -> ScanRow:
    if len(rows) == 1:
        return rows[0]
    probabilities = torch.stack([row.probabilities for row in rows]).mean(dim=0)
    entropy = torch.stack([row.entropy for row in rows]).mean(dim=0)
    return ScanRow(rows[0].index, probabilities, target.label_of_maps(probabilities, threshold=0.5), entropy)


def assemble_rows(
    rows: Iterable[ScanRow], axis: int, empty: Prediction, outputs: Outputs, allocate: Allocate
) -> Prediction:
    """Return the ``empty`` prediction of a scan with its label map and volumes from all its rows across ``axis``.

    ``allocate`` makes room for volumes of float32.
    """
    shape, target = empty.label.shape, target_of(empty.labels)
    probabilities = allocate((len(empty.labels.outputs), *shape)) if outputs.probabilities else None
    entropy, information = (allocate(shape), allocate(shape)) if outputs.uncertainty else (None, None)
    for row in rows:
        place = tuple(row.index if other == axis else slice(None) for other in range(3))
        empty.label[place] = row.label.numpy()
        if probabilities is not None:
            probabilities[(slice(None), *place)] = row.probabilities.numpy()
        if entropy is not None and information is not None:
            of_mean = target.entropy(row.probabilities)
            entropy[place] = of_mean.numpy()
            # Rounding may take it below 0.
            information[place] = (of_mean - row.entropy).clamp(min=0).numpy()
    return replace(empty, probabilities=probabilities, entropy=entropy, mutual_information=information)


def stored_volumes(
    volumes: Iterable[tuple[str, FloatVolume]], box: Box, shape: Sequence[int], allocate: Allocate
) -> dict[str, FloatVolume]:
    """Return named volumes of a ``box`` of a scan of ``shape`` as volumes of the scan, 0 outside the box.

    One at a time is in memory, if ``allocate`` makes room elsewhere.
    """
    stored: dict[str, FloatVolume] = {}
    for name, values in volumes:
        stored[name] = allocate(tuple(shape))
        stored[name][...] = box.put_back(values, shape)
    return stored


def new_array(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return an array of ``shape`` in memory."""
    return np.empty(shape, np.float32)


def rows_at_once(num_maps: int, shape: Sequence[int], most_values: int = 2**24) -> int:
    """Return how many rows of a scan of ``shape`` to restore at once, so that their values take about 64 MiB."""
    largest_plane = int(np.prod(sorted(shape)[1:]))
    return max(1, most_values // (num_maps * largest_plane))
