"""Patches for training: each a function of (seed, epoch, sample), balanced over the classes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from aunet.data.case_store import StoredCase
from aunet.data.keyed_randomness import Purpose, generator

Sample = dict[str, Any]


class PatchDataset(Dataset[Sample]):
    """Patches of stored cases; asked for by (epoch, sample), it keeps no state between two of them.

    Cases take turns in an order drawn anew for each round through them. Each patch holds a voxel of a class drawn
    among those its case has, the background included, at a place drawn uniformly in the patch. What is read reaches
    evenly beyond the patch, so that augmentation can rotate it.

    Args:
        cases: the training cases.
        num_classes: classes of their labels, the background included.
        patch_size: what the network will see (voxels).
        read_size: what is read around it (voxels), at least ``patch_size``.
        seed: the same seed gives the same patches.
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        num_classes: int,
        patch_size: Sequence[int],
        read_size: Sequence[int],
        seed: int,
    ) -> None:
        self._cases = cases
        self._num_classes = num_classes
        self._patch_size = tuple(patch_size)
        self._read_size = tuple(read_size)
        self._seed = seed

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """(epoch, sample) -> image (C, *read_size) float32, label (1, *read_size) uint8, case_id, key (2,)."""
        epoch, sample = key
        case = self._case(epoch, sample)
        image, label = case.image(), case.label()
        start = self._read_start(case, label.shape, generator(Purpose.PATCH, self._seed, epoch, sample))
        return {
            "image": torch.from_numpy(_cut(image, start, self._read_size)).float(),
            "label": torch.from_numpy(_cut(label[None], start, self._read_size)),
            "case_id": case.case_id,
            "key": torch.tensor(key),
        }

    def _case(self, epoch: int, sample: int) -> StoredCase:
        turn, place = divmod(sample, len(self._cases))
        order = generator(Purpose.CASE_ORDER, self._seed, epoch, turn).permutation(len(self._cases))
        return self._cases[order[place]]

    def _read_start(self, case: StoredCase, shape: Sequence[int], draw: np.random.Generator) -> list[int]:
        voxels_of_class = [case.positions(index) for index in range(self._num_classes)]
        present = [voxels for voxels in voxels_of_class if len(voxels)]
        voxels = present[draw.integers(len(present))]
        voxel = voxels[draw.integers(len(voxels))]
        axes = zip(voxel, shape, self._patch_size, self._read_size, strict=True)
        return [_patch_start(int(at), length, size, draw) - (read - size) // 2 for at, length, size, read in axes]


def _patch_start(voxel: int, length: int, size: int, draw: np.random.Generator) -> int:
    """First index of a patch that holds ``voxel``; a volume shorter than the patch lies in its middle."""
    if length <= size:
        return -((size - length) // 2)
    lowest, highest = max(0, voxel - size + 1), min(voxel, length - size)
    return int(draw.integers(lowest, highest + 1))


def _cut(array: NDArray[Any], start: Sequence[int], size: Sequence[int]) -> NDArray[Any]:
    """Cut ``size`` voxels from ``start`` out of the spatial axes of (C, H, W, D); outside the volume is 0."""
    spans = list(zip(start, size, array.shape[1:], strict=True))
    inside = tuple(slice(max(0, first), max(0, min(length, first + extent))) for first, extent, length in spans)
    padding = [(max(0, -first), max(0, first + extent - length)) for first, extent, length in spans]
    return np.pad(array[(slice(None), *inside)], [(0, 0), *padding])


class PatchOrder(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, sample) from ``position``, the number of batches a run has consumed, to the epoch's end.

    Where several ranks train together each takes its part of every batch of ``batch_size``.
    """

    def __init__(self, batch_size: int, batches_per_epoch: int, rank: int = 0, num_ranks: int = 1) -> None:
        self._batch_size = batch_size
        self._batches_per_epoch = batches_per_epoch
        part = batch_size // num_ranks
        self._places = range(rank * part, (rank + 1) * part)
        self.position = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, first = divmod(self.position, self._batches_per_epoch)
        for batch in range(first, self._batches_per_epoch):
            if batch == self._batches_per_epoch - 1:  # before the last batch: nobody need ask for one more
                self.position = (epoch + 1) * self._batches_per_epoch
            yield [(epoch, batch * self._batch_size + place) for place in self._places]

    def __len__(self) -> int:
        return self._batches_per_epoch
