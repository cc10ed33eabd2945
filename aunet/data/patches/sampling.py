"""Patches for training: each a function of (seed, epoch, sample), balanced over the classes."""

from collections.abc import Iterator, Sequence
from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset, Sampler, default_collate

from aunet.classes import Labels
from aunet.data.keyed_randomness import Purpose, generator
from aunet.data.patches.geometry import PatchGeometry
from aunet.data.patches.placement import Placement, place_patch
from aunet.data.patches.random_geometry import RandomGeometry
from aunet.data.store.stored_case import StoredCase


class Sample(TypedDict):
    """A patch: image (C, *box) float32, label (1, *box) uint8, key (2,) and move (3,), see ``PatchDataset``.

    ``annotated`` (K,) bool marks the classes that the case's reference annotates, if it leaves out some.
    """

    image: Tensor
    label: Tensor
    case_id: str
    key: Tensor
    move: Tensor
    annotated: NotRequired[Tensor]


class Batch(TypedDict):
    """Samples along a first axis; ``move`` is missing if the geometry was not moved before reading."""

    image: Tensor
    label: Tensor
    case_id: list[str]
    key: Tensor
    move: NotRequired[Tensor]
    annotated: NotRequired[Tensor]


class PatchDataset(Dataset[Sample]):
    """Patches of stored cases, indexed by (epoch, sample), with no state kept between two of them.

    Cases take turns in an order drawn anew for each round through them. Each patch shows, after its augmentation, a
    voxel of a class drawn among those its case has, the background included (see ``place_patch``), that of a region in
    any of its parts; with ``sampling`` "uniform" it lies anywhere in the volume instead, whatever it shows. The box of
    everything that the augmented patch shows is read.

    Args:
        cases: the training cases.
        geometry: size of the patches, and how augmentation will change them.
        seed: the same seed makes the same patches.
        sampling: "balanced" over the classes, or "uniform".
        labels: the classes; None if each is the voxels of its own value.
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        geometry: RandomGeometry,
        seed: int,
        sampling: str = "balanced",
        labels: Labels | None = None,
    ) -> None:
        self._cases = cases
        self._geometry = geometry
        self._seed = seed
        self._is_balanced = sampling == "balanced"
        self._regions = () if labels is None else labels.regions

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return image (C, *box) float32, label (1, *box) uint8, case_id, key (2,) and move (3,) of (epoch, sample)."""
        epoch, sample = key
        case = self._case(epoch, sample)
        geometry = self._geometry.draw(self._seed, epoch, sample)
        draw = generator(Purpose.PATCH, self._seed, epoch, sample)
        if self._is_balanced:
            placement = _place_balanced(case, geometry, draw, self._regions)
        else:
            placement = _place_uniform(case, geometry, draw)
        offset, size = geometry.moved(placement.move).box
        start = [at + beyond for at, beyond in zip(placement.start, offset, strict=True)]
        return {
            "image": torch.from_numpy(case.image_patch(start, size)).float(),
            "label": torch.from_numpy(case.label_patch(start, size)[None]),
            "case_id": case.case_id,
            "key": torch.tensor(key),
            "move": torch.from_numpy(placement.move),
        }

    def _case(self, epoch: int, sample: int) -> StoredCase:
        turn, place = divmod(sample, len(self._cases))
        order = generator(Purpose.CASE_ORDER, self._seed, epoch, turn).permutation(len(self._cases))
        return self._cases[order[place]]


def _place_balanced(
    case: StoredCase, geometry: PatchGeometry, draw: np.random.Generator, regions: Sequence[Sequence[int]]
) -> Placement:
    """Place a patch around a voxel of a class of ``case``, both drawn uniformly, that of a region among its parts'."""
    counts = case.position_counts
    classes = [(0,), *regions] if regions else [(value,) for value in range(len(counts))]
    present = [values for values in classes if any(counts[value] for value in values)]
    values = present[draw.integers(len(present))]
    number, part = int(draw.integers(sum(counts[value] for value in values))), iter(values)
    while number >= counts[value := next(part)]:
        number -= counts[value]
    return place_patch(geometry, case.position(value, number), case.shape, draw)


def _place_uniform(case: StoredCase, geometry: PatchGeometry, draw: np.random.Generator) -> Placement:
    """Place a patch anywhere within the volume of ``case``."""
    start = [_random_start(*axis, draw) for axis in zip(case.shape, geometry.size, strict=True)]
    return Placement(start, np.zeros(3, dtype=np.float32))


def _random_start(length: int, size: int, draw: np.random.Generator) -> int:
    """Draw the first index of a patch anywhere within the volume; a shorter volume lies in the patch's middle."""
    return int(draw.integers(length - size + 1)) if length > size else -((size - length) // 2)


def joined(samples: Sequence[Sample]) -> Batch:
    """Collate samples to a batch: their boxes differ in size, and each lies at the beginning of the largest."""
    sizes = np.max([sample["image"].shape[1:] for sample in samples], axis=0).tolist()
    return default_collate(
        [{**sample, **{key: _filled_up(sample[key], sizes) for key in ("image", "label")}} for sample in samples]
    )


def _filled_up(patch: Tensor, sizes: Sequence[int]) -> Tensor:
    """Pad (C, *box) to (C, *sizes), with zeros behind."""
    missing = [size - length for size, length in zip(sizes, patch.shape[1:], strict=True)]
    return functional.pad(patch, [number for behind in reversed(missing) for number in (0, behind)])


class PatchOrder(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, sample) from ``position``, the number of batches a run has consumed, to the epoch's end.

    If several ranks train together, each takes its part of every batch of ``batch_size``.
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
            if batch == self._batches_per_epoch - 1:  # set before the last batch, as a loader need not ask for one more
                self.position = (epoch + 1) * self._batches_per_epoch
            yield [(epoch, batch * self._batch_size + place) for place in self._places]

    def __len__(self) -> int:
        return self._batches_per_epoch
