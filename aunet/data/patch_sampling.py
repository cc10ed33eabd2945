"""Patches for training: each a function of (seed, epoch, sample), balanced over the classes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset, Sampler, default_collate

from aunet.data.keyed_randomness import Purpose, generator
from aunet.data.patch_geometry import RandomGeometry
from aunet.data.stored_case import StoredCase

Sample = dict[str, Any]


class PatchDataset(Dataset[Sample]):
    """Patches of stored cases; asked for by (epoch, sample), it keeps no state between two of them.

    Cases take turns in an order drawn anew for each round through them. Each patch holds a voxel of a class drawn
    among those its case has, the background included, at a place drawn uniformly in the patch; with ``sampling``
    "uniform" it lies anywhere in the volume instead, whatever it shows. What is read is the box of all that
    augmentation will make it show.

    Args:
        cases: the training cases.
        geometry: size of the patches, and how augmentation will change them.
        seed: the same seed gives the same patches.
        sampling: "balanced" over the classes, or "uniform".
    """

    def __init__(
        self, cases: Sequence[StoredCase], geometry: RandomGeometry, seed: int, sampling: str = "balanced"
    ) -> None:
        self._cases = cases
        self._geometry = geometry
        self._seed = seed
        self._is_balanced = sampling == "balanced"

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """(epoch, sample) -> image (C, *box) float32, label (1, *box) uint8, case_id, key (2,)."""
        epoch, sample = key
        case = self._case(epoch, sample)
        patch_start = self._patch_start(case, generator(Purpose.PATCH, self._seed, epoch, sample))
        offset, size = self._geometry.draw(self._seed, epoch, sample).box
        start = [at + beyond for at, beyond in zip(patch_start, offset, strict=True)]
        return {
            "image": torch.from_numpy(case.image_patch(start, size)).float(),
            "label": torch.from_numpy(case.label_patch(start, size)[None]),
            "case_id": case.case_id,
            "key": torch.tensor(key),
        }

    def _case(self, epoch: int, sample: int) -> StoredCase:
        turn, place = divmod(sample, len(self._cases))
        order = generator(Purpose.CASE_ORDER, self._seed, epoch, turn).permutation(len(self._cases))
        return self._cases[order[place]]

    def _patch_start(self, case: StoredCase, draw: np.random.Generator) -> list[int]:
        if not self._is_balanced:
            return [_random_start(*axis, draw) for axis in zip(case.shape, self._geometry.patch_size, strict=True)]
        present = [index for index, count in enumerate(case.position_counts) if count]
        index = present[draw.integers(len(present))]
        voxel = case.position(index, int(draw.integers(case.position_counts[index])))
        axes = zip(voxel, case.shape, self._geometry.patch_size, strict=True)
        return [_patch_start(at, length, size, draw) for at, length, size in axes]


def _random_start(length: int, size: int, draw: np.random.Generator) -> int:
    """First index of a patch anywhere within the volume; a volume shorter than the patch lies in its middle."""
    return int(draw.integers(length - size + 1)) if length > size else -((size - length) // 2)


def joined(samples: Sequence[Sample]) -> Sample:
    """A batch of samples: of their boxes, which differ in size, each lies at the beginning of the largest."""
    sizes = np.max([sample["image"].shape[1:] for sample in samples], axis=0).tolist()
    return default_collate(
        [sample | {key: _filled_up(sample[key], sizes) for key in ("image", "label")} for sample in samples]
    )


def _filled_up(patch: Tensor, sizes: Sequence[int]) -> Tensor:
    """(C, *box) -> (C, *sizes), with zeros behind."""
    missing = [size - length for size, length in zip(sizes, patch.shape[1:], strict=True)]
    return functional.pad(patch, [number for behind in reversed(missing) for number in (0, behind)])


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
