"""One preprocessed case on disk: image, label and some voxels of each class, read only as needed.

The voxels of each class let patches be balanced over the classes without reading the label.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aunet.data.io.grid import Voxels
from aunet.data.keyed_randomness import Purpose, generator
from aunet.data.preprocessing.region import Box
from aunet.data.preprocessing.steps import PreprocessedVolume
from aunet.data.store.chunked_array import ChunkedArray, DamagedArrayError, write_chunked
from aunet.errors import UserError
from aunet.files import write_json

_IMAGE, _LABEL, _POSITIONS, _FACTS = "image.chunks", "label.chunks", "positions.chunks", "case.json"
POSITIONS_PER_CLASS = 4096


@dataclass(frozen=True)
class StoredCase:
    """A preprocessed case: image (C, *shape) float16, label (*shape) uint8.

    It holds no file open: every read opens, maps and closes what it needs, so that memory does not grow with the
    number of cases and workers may be forked or spawned at any time. Reading damaged data raises UserError.
    ``position_counts`` are the voxels kept of each class, ``spacing`` is in mm. ``box`` is the part of the scan that
    was cut out before it was preprocessed; None for the whole scan.
    """

    case_id: str
    folder: Path
    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    num_channels: int
    position_counts: tuple[int, ...]
    num_bytes: int
    box: Box | None = None

    def image(self) -> NDArray[np.float16]:
        """Read the whole image (C, *shape)."""
        return self._cut(_IMAGE, (0,) * (1 + len(self.shape)), (self.num_channels, *self.shape))

    def label(self) -> NDArray[np.uint8]:
        """Read the whole label (*shape)."""
        return self._cut(_LABEL, (0,) * len(self.shape), self.shape)

    def image_patch(self, start: Sequence[int], size: Sequence[int]) -> NDArray[np.float16]:
        """Read ``size`` voxels of the image from ``start`` on: (C, *size); outside the volume is 0."""
        return self._cut(_IMAGE, (0, *start), (self.num_channels, *size))

    def label_patch(self, start: Sequence[int], size: Sequence[int]) -> NDArray[np.uint8]:
        """Read ``size`` voxels of the label from ``start`` on; outside the volume is 0."""
        return self._cut(_LABEL, start, size)

    def position(self, index: int, number: int) -> list[int]:
        """Read voxel ``number`` of the ``position_counts[index]`` kept of class ``index``."""
        row = sum(self.position_counts[:index]) + number
        voxel: list[int] = self._cut(_POSITIONS, (row, 0), (1, len(self.shape)))[0].tolist()
        return voxel

    def verify(self) -> None:
        """Unpack everything; raise DamagedArrayError for anything that differs from what was written."""
        for name in (_IMAGE, _LABEL, _POSITIONS):
            ChunkedArray(self.folder / name).verify()

    def _cut(self, name: str, start: Sequence[int], size: Sequence[int]) -> Voxels:
        try:
            return ChunkedArray(self.folder / name).cut(start, size)
        except DamagedArrayError as error:
            raise UserError(
                f"{error}. It belongs to the stored case {self.case_id}: delete {self.folder}, or let"
                " `aunet prepare --verify` with the same settings find and make again whatever is damaged."
            ) from None


def open_stored_case(case_id: str, folder: Path) -> StoredCase:
    """Open the case in ``folder`` and check the frame of each file; raise DamagedArrayError if one is wrong."""
    image, label, positions = (ChunkedArray(folder / name) for name in (_IMAGE, _LABEL, _POSITIONS))
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        right, anterior, superior = (float(length) for length in facts["spacing"])
        counts = tuple(int(count) for count in facts["position_counts"])
        box = Box(*(tuple(int(at) for at in corner) for corner in facts["box"])) if "box" in facts else None
    except (OSError, ValueError, OverflowError, RecursionError, KeyError, TypeError) as error:
        raise DamagedArrayError(f"{folder / _FACTS} is damaged: {error}") from None
    if image.shape[1:] != label.shape or positions.shape != (sum(counts), len(label.shape)):
        raise DamagedArrayError(f"{folder} is damaged: its files do not belong together")
    num_bytes = sum(file.stat().st_size for file in folder.iterdir())
    spacing = (right, anterior, superior)
    return StoredCase(case_id, folder, label.shape, spacing, image.shape[0], counts, num_bytes, box)


def write_stored_case(
    folder: Path,
    case_id: str,
    image: PreprocessedVolume,
    label: PreprocessedVolume,
    num_classes: int,
    box: Box | None = None,
) -> None:
    """Write a case of image (C, *shape) and label (*shape) into the empty ``folder``; ``box`` as in ``StoredCase``."""
    spatial_dims = label.array.ndim
    write_chunked(folder / _IMAGE, image.array.astype(np.float16), spatial_dims)
    write_chunked(folder / _LABEL, label.array, spatial_dims)
    positions = class_positions(label.array, num_classes)
    write_chunked(folder / _POSITIONS, np.concatenate(positions), 2)
    facts = {
        "case_id": case_id,
        "spacing": [math.hypot(*column) for column in image.affine[:3, :3].T.tolist()],
        "affine": image.affine.tolist(),
        "position_counts": [len(voxels) for voxels in positions],
    }
    write_json(folder / _FACTS, facts if box is None else facts | {"box": [list(box.start), list(box.stop)]})


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
