"""Placement of a patch so that, once augmented, it shows a chosen voxel and as little as possible beyond the scan."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aunet.data.patches.geometry import PatchGeometry

# A turned patch fills at least a quarter of its box, so this many draws almost never all miss it.
_TRIES = 32


@dataclass(frozen=True)
class Placement:
    """First voxel of the unchanged patch in the scan, and a further move (3,) of its geometry, below one voxel.

    The move puts the centre of the chosen voxel at the centre of a voxel of the patch, so that even an organ of one
    voxel is shown. It is float32, which every device can hold.
    """

    start: list[int]
    move: NDArray[np.float32]


def place_patch(
    geometry: PatchGeometry, voxel: Sequence[int], shape: Sequence[int], draw: np.random.Generator
) -> Placement:
    """Place a patch so that it shows ``voxel`` of a scan of ``shape``.

    The start is uniform among those that show the voxel in the patch and keep the patch's box within the scan; away
    from the scan's border the voxel is thus uniform in the patch. A scan shorter than the patch lies in its middle,
    as in prediction. If no draw shows the voxel, as at the scan's corners, the patch is moved until it does.
    """
    last = np.array(geometry.size) - 1
    start, target = _draw_start(geometry, voxel, shape, draw)
    for _ in range(_TRIES):
        if (target == target.clip(0, last)).all():
            break
        start, target = _draw_start(geometry, voxel, shape, draw)
    missing = np.subtract(voxel, start) - geometry.place_of(target.clip(0, last))
    whole = np.rint(missing).astype(int)
    return Placement((start + whole).tolist(), (missing - whole).astype(np.float32))


def _draw_start(
    geometry: PatchGeometry, voxel: Sequence[int], shape: Sequence[int], draw: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return a start (3,), and the voxel of the patch (3,), perhaps beyond it, that would show ``voxel``."""
    first, extent = geometry.box
    axes = zip(voxel, shape, geometry.size, first, extent, strict=True)
    start = np.array([_draw_along(*axis, draw) for axis in axes])
    return start, np.rint(geometry.voxel_at(np.subtract(voxel, start)))


def _draw_along(voxel: int, length: int, size: int, first: int, extent: int, draw: np.random.Generator) -> int:
    """Return the start along one axis of a patch whose box begins ``first`` from it and is ``extent`` long."""
    if length <= min(size, extent):
        return -((size - length) // 2)
    room = length - extent
    lowest, highest = max(min(0, room), voxel - extent + 1), min(voxel, max(0, room))
    return int(draw.integers(lowest, highest + 1)) - first
