"""The part of a scan that holds the organs: a box of voxels with a margin in mm, cut out and put back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from aunet.data.io.volume import Volume

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Box:
    """The voxels of a scan from ``start`` up to, but without, ``stop``, along each of its stored axes."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def cut(self, volume: Volume) -> Volume:
        """Return the part of ``volume`` inside the box as a volume of its own, at its place in the patient.

        The box of the whole volume returns ``volume`` itself.
        """
        if not any(self.start) and self.stop == volume.shape:
            return volume
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array(self.start, dtype=np.float64)
        return replace(volume, array=volume.array[self._slices], affine=affine)

    def put_back(self, values: NDArray[Scalar], shape: Sequence[int]) -> NDArray[Scalar]:
        """Return a volume of ``shape`` that is ``values``, such as a label map, inside the box and 0 outside.

        The box of the whole volume returns ``values`` themselves.
        """
        if values.shape == tuple(shape):
            return values
        whole = np.zeros(shape, values.dtype)
        whole[self._slices] = values
        return whole

    @property
    def _slices(self) -> tuple[slice, ...]:
        return tuple(slice(first, last) for first, last in zip(self.start, self.stop, strict=True))


class RegionFinder(Protocol):
    """An object that says which part of a scan to look at. ``missed`` names the scans in which it found none."""

    missed: list[str]

    def find(self, channels: Sequence[Volume]) -> Box | None:
        """Return the box of a scan, given as its channels on one grid; None if nothing was found in it."""
        ...

    def settings(self) -> dict[str, object]:
        """Return all that decides the boxes, as JSON can hold it: part of the key of a stored case."""
        ...


def box_around(
    label: NDArray[np.integer], classes: Sequence[int], spacing: Sequence[float], margin_mm: float
) -> Box | None:
    """Return the smallest box that reaches ``margin_mm`` beyond all voxels of ``classes`` in a label map.

    The margin is measured along each stored axis, whose voxels are ``spacing`` mm apart, and rounded up to whole
    voxels; the box ends where the scan does. None if a class is absent: its organ was missed, and a box around the
    others might cut it off.
    """
    if not np.isin(classes, label).all():
        return None
    is_inside = np.isin(label, classes)
    start, stop = list[int](), list[int]()
    for axis, (length, side) in enumerate(zip(label.shape, spacing, strict=True)):
        others = tuple(other for other in range(label.ndim) if other != axis)
        places = np.flatnonzero(is_inside.any(axis=others)).tolist()
        margin = math.ceil(round(margin_mm / side, 4))  # a header rounded to float32 must not cost a voxel
        start.append(max(0, places[0] - margin))
        stop.append(min(length, places[-1] + 1 + margin))
    return Box(tuple(start), tuple(stop))


def find_box(finder: RegionFinder | None, channels: Sequence[Volume]) -> Box:
    """Return the box that ``finder`` finds in a scan; the whole scan if it finds nothing, or if there is no finder."""
    box = None if finder is None else finder.find(channels)
    return box or Box((0, 0, 0), channels[0].shape)
