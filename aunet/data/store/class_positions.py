"""Some voxels of every class of a label map, so that patches can be balanced over the classes without reading it."""

import numpy as np
from numpy.typing import NDArray

from aunet.data.keyed_randomness import Purpose, generator

POSITIONS_PER_CLASS = 4096


def class_positions(label: NDArray[np.uint8], num_classes: int) -> list[NDArray[np.int32]]:
    """Return for each class up to 4096 of its voxels (N, ndim), drawn uniformly, in order; none if it is absent.

    The label is searched slab by slab along its first axis, so that the index of every voxel is never held.
    """
    counts = np.stack([np.bincount(slab.ravel(), minlength=num_classes)[:num_classes] for slab in label])
    ranks = [_drawn_ranks(int(total), index) for index, total in enumerate(counts.sum(axis=0))]
    found: list[list[NDArray[np.int32]]] = [[] for _ in range(num_classes)]
    before = np.zeros(num_classes, dtype=np.int64)
    for at, slab in enumerate(label):
        for index in np.flatnonzero(counts[at]):
            first, last = np.searchsorted(ranks[index], [before[index], before[index] + counts[at, index]])
            if first < last:
                flat = np.flatnonzero(slab == index)[ranks[index][first:last] - before[index]]
                places = np.unravel_index(flat, slab.shape)
                found[index].append(np.stack([np.full(len(flat), at), *places], axis=1).astype(np.int32))
        before += counts[at]
    return [np.concatenate(parts) if parts else np.empty((0, label.ndim), np.int32) for parts in found]


def _drawn_ranks(total: int, index: int) -> NDArray[np.int64]:
    """Draw which of the ``total`` voxels of class ``index``, counted in order, are kept; sorted."""
    kept = min(total, POSITIONS_PER_CLASS)
    return np.sort(generator(Purpose.VOXELS, index).choice(total, kept, replace=False, shuffle=False))
