"""Voxel grids: where voxels lie in the patient, and whether two grids agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aunet.errors import UserError

Affine = NDArray[np.float64]
Voxels = NDArray[Any]
"""An array of whatever type a file stores."""
Shape = tuple[int, int, int]

# Of the smallest voxel side: writers round affines to float32 or to six digits, which moves a corner far less.
_GRID_TOLERANCE = 0.01
# Voxels; scans have up to 1024 on a side, and whole bodies some 1500 slices.
_LARGEST_SIDE = 2048


@dataclass(frozen=True)
class Volume:
    """Voxels (H, W, D) in stored axis order; ``affine`` (4, 4) takes voxel indices to RAS+ coordinates in mm.

    ``affine_error`` is the distance in mm by which the rounding of the file's header may misplace a corner. A volume
    that ``is_sparse`` was stored without its empty slices and margins: 0 outside is meant, not unknown.
    """

    array: Voxels
    affine: Affine
    path: Path | None = None
    affine_error: float = 0.0
    is_sparse: bool = False

    @property
    def shape(self) -> Shape:
        """Return the number of voxels along each stored axis."""
        height, width, depth = self.array.shape
        return height, width, depth

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the distance in mm between the centres of neighbouring voxels along each stored axis."""
        first, second, third = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return first, second, third

    @property
    def name(self) -> str:
        """Return the file or folder it was read from, for messages."""
        return str(self.path) if self.path else "volume in memory"


def largest_corner_distance(shape: tuple[int, ...], first: Affine, second: Affine) -> float:
    """Return the largest distance in mm between the corners of a voxel grid (H, W, D) as placed by two affines."""
    corners = np.array([(*corner, 1) for corner in product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm(corners @ (first - second).T, axis=1).max())


def check_same_grid(image: Volume, label: Volume, case_id: str) -> None:
    """Raise UserError unless both have one shape and their corners lie within 1 % of a voxel of each other.

    The rounding of either header to float32 is allowed on top.
    """
    if image.shape != label.shape:
        raise UserError(
            f"case {case_id}: {image.name} has shape {image.shape}, {label.name} has {label.shape}; "
            "both must lie on one voxel grid. Resample one onto the other."
        )
    distance = largest_corner_distance(image.shape, image.affine, label.affine)
    if distance > _tolerance(image, label):
        raise UserError(
            f"case {case_id}: {image.name} and {label.name} have affines that place the same voxel up to "
            f"{distance:.3g} mm apart; both must lie on one voxel grid. Copy the image's affine if the label fits it."
        )


def align(label: Volume, image: Volume) -> Volume:
    """Return ``label`` in the axis order of ``image`` if both lie on one lattice, else ``label`` itself.

    Axes are only permuted and reversed, so every voxel keeps its value. The volume must cover the image exactly, or be
    ``is_sparse``: it is then extended by 0. An affine that differs from the image's by rounding becomes the image's.

    Raises:
        UserError: if a sparse label marks voxels outside the image.
    """
    if image.shape == label.shape:
        distance = largest_corner_distance(image.shape, image.affine, label.affine)
        if distance <= _GRID_TOLERANCE * min(image.spacing):
            return label
        if distance <= _tolerance(image, label):
            return replace(label, affine=image.affine)
    turned = _turned_to(_with_step_of(image, label), image)
    if turned is None:
        return label
    array, starts = turned
    if array.shape == image.shape and not any(starts):
        return replace(label, array=np.ascontiguousarray(array), affine=image.affine)
    if not label.is_sparse:
        return label
    placed = _placed(array, starts, image.shape)
    total, inside = np.count_nonzero(array), np.count_nonzero(placed)
    if inside < total:
        raise UserError(
            f"{label.name}: only {inside} of its {total} marked voxels lie inside {image.name}. Check that the"
            " segmentation belongs to this series."
        )
    return replace(label, array=placed, affine=image.affine)


def cover_both(first: Volume, second: Volume) -> tuple[Volume, Volume]:
    """Return two sparse label maps of one lattice on the smallest grid that holds both, 0 outside either.

    Other volumes are returned as they are: one of them has the size of the scan.
    """
    turned = _turned_to(second, first) if first.is_sparse and second.is_sparse else None
    if turned is None:
        return first, second
    array, starts = turned
    low = [min(0, -start) for start in starts]
    high = [max(size, length - start) for size, length, start in zip(first.shape, array.shape, starts, strict=True)]
    sides = [last - begin for begin, last in zip(low, high, strict=True)]
    if max(sides) > _LARGEST_SIDE:  # they are not of one scan, as the check of the grid will say
        return first, second
    affine = first.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(low, dtype=np.float64)
    shape: Shape = (sides[0], sides[1], sides[2])
    moved = [start + begin for start, begin in zip(starts, low, strict=True)]
    return (
        replace(first, array=_placed(first.array, low, shape), affine=affine),
        replace(second, array=_placed(array, moved, shape), affine=affine),
    )


def _turned_to(label: Volume, image: Volume) -> tuple[Voxels, list[int]] | None:
    """Return the label's array in the image's axis order and its index at the image's first voxel.

    None unless both lie on one lattice.
    """
    whole = np.rint(np.linalg.inv(label.affine) @ image.affine)
    axes = np.abs(whole[:3, :3]).argmax(axis=0)
    is_permutation = np.array_equal(np.sort(np.abs(whole[:3, :3]), axis=None), [0] * 6 + [1] * 3)
    if not is_permutation or len(set(axes.tolist())) < 3:
        return None
    if largest_corner_distance(image.shape, image.affine, label.affine @ whole) > _tolerance(image, label):
        return None
    return _turned(label.array, whole, axes.tolist())


def _with_step_of(image: Volume, label: Volume) -> Volume:
    """Return ``label``, a single slice of an image with more, with the step of ``image`` to its next slice.

    Alone, a slice of a tilted stack seems to have its neighbours along its normal.
    """
    if not label.is_sparse or label.shape[2] > 1:
        return label
    normal = np.cross(label.affine[:3, 0], label.affine[:3, 1])
    heights = normal @ image.affine[:3, :3]
    axis = int(np.abs(heights).argmax())
    own = float(normal @ label.affine[:3, 2])
    if abs(abs(own / heights[axis]) - 1) > _GRID_TOLERANCE:
        return label
    affine = label.affine.copy()
    affine[:3, 2] = np.sign(own * heights[axis]) * image.affine[:3, axis]
    return replace(label, affine=affine)


def _tolerance(image: Volume, label: Volume) -> float:
    return _GRID_TOLERANCE * min(image.spacing) + image.affine_error + label.affine_error


def _turned(array: Voxels, whole: NDArray[np.float64], axes: list[int]) -> tuple[Voxels, list[int]]:
    """Return ``array`` with its axes in the image's order and direction, and its index at the image's first voxel."""
    turned, starts = array.transpose(axes), list[int]()
    for axis, stored in enumerate(axes):
        start = int(whole[stored, 3])
        if whole[stored, axis] < 0:
            turned, start = np.flip(turned, axis), array.shape[stored] - 1 - start
        starts.append(start)
    return turned, starts


def _placed(array: Voxels, starts: Sequence[int], shape: Shape) -> Voxels:
    """Return the part of ``array`` from ``starts`` on in a volume of ``shape`` that is 0 elsewhere."""
    placed = np.zeros(shape, array.dtype)
    source, target = list[slice](), list[slice]()
    for start, size, length in zip(starts, shape, array.shape, strict=True):
        first, last = max(start, 0), min(start + size, length)
        source.append(slice(first, max(first, last)))
        target.append(slice(first - start, max(first, last) - start))
    placed[tuple(target)] = array[tuple(source)]
    return placed
