"""Patches for training: each a function of (seed, epoch, sample), balanced over the classes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from aunet.data.keyed_randomness import Purpose, generator
from aunet.data.stored_case import StoredCase

Sample = dict[str, Any]


class PatchDataset(Dataset[Sample]):
    """Patches of stored cases; asked for by (epoch, sample), it keeps no state between two of them.

    Cases take turns in an order drawn anew for each round through them. Each patch holds a voxel of a class drawn
    among those its case has, the background included, at a place drawn uniformly in the patch. What is read reaches
    evenly beyond the patch, so that augmentation can rotate it.

    Args:
        cases: the training cases.
        patch_size: what the network will see (voxels).
        read_size: what is read around it (voxels), at least ``patch_size``.
        seed: the same seed gives the same patches.
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        patch_size: Sequence[int],
        read_size: Sequence[int],
        seed: int,
    ) -> None:
        self._cases = cases
        self._patch_size = tuple(patch_size)
        self._read_size = tuple(read_size)
        self._seed = seed

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """(epoch, sample) -> image (C, *read_size) float32, label (1, *read_size) uint8, case_id, key (2,)."""
        epoch, sample = key
        case = self._case(epoch, sample)
        start = self._read_start(case, generator(Purpose.PATCH, self._seed, epoch, sample))
        return {
            "image": torch.from_numpy(case.image_patch(start, self._read_size)).float(),
            "label": torch.from_numpy(case.label_patch(start, self._read_size)[None]),
            "case_id": case.case_id,
            "key": torch.tensor(key),
        }

    def _case(self, epoch: int, sample: int) -> StoredCase:
        turn, place = divmod(sample, len(self._cases))
        order = generator(Purpose.CASE_ORDER, self._seed, epoch, turn).permutation(len(self._cases))
        return self._cases[order[place]]

    def _read_start(self, case: StoredCase, draw: np.random.Generator) -> list[int]:
        present = [index for index, count in enumerate(case.position_counts) if count]
        index = present[draw.integers(len(present))]
        voxel = case.position(index, int(draw.integers(case.position_counts[index])))
        axes = zip(voxel, case.shape, self._patch_size, self._read_size, strict=True)
        return [_patch_start(at, length, size, draw) - (read - size) // 2 for at, length, size, read in axes]


def _patch_start(voxel: int, length: int, size: int, draw: np.random.Generator) -> int:
    """First index of a patch that holds ``voxel``; a volume shorter than the patch lies in its middle."""
    if length <= size:
        return -((size - length) // 2)
    lowest, highest = max(0, voxel - size + 1), min(voxel, length - size)
    return int(draw.integers(lowest, highest + 1))


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
