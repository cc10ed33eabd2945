"""The places of an augmented patch's voxels in its scan.

The geometry is known before the patch is read, so that everything it shows is read and little else. MONAI's spatial
transforms draw when they transform, which is too late to read more.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

Vectors = NDArray[np.float64]

# Knots of the bending along each axis; the outermost lie beyond the patch.
NUM_KNOTS = 7
KNOT_INTERVALS = NUM_KNOTS - 3
# Of a voxel: coordinates that are meant to be whole are rounded to their neighbour.
_ROUNDING = 1e-6
# Fixed-point steps of the inverse; each reduces its error by about the slope of the bend, which is below 1.
_INVERSION_STEPS = 4


@dataclass(frozen=True)
class PatchGeometry:
    """A patch of ``size`` voxels, rotated, scaled, shifted and bent.

    Its voxel i shows the place ``middle + matrix @ (i - middle) + shift + bend(i)``, in voxels from the first of the
    patch as it was before. ``bends`` (3, n, n, n) are the knots of the bend, a cubic B-spline; None bends nothing.
    """

    size: tuple[int, ...]
    matrix: Vectors
    shift: Vectors
    bends: Vectors | None = None

    @property
    def is_plain(self) -> bool:
        """Return whether it changes nothing."""
        return self.bends is None and np.array_equal(self.matrix, np.eye(3)) and not self.shift.any()

    @property
    def box(self) -> tuple[list[int], list[int]]:
        """Return first voxel, from the first of the unchanged patch, and size of the smallest box with all it shows."""
        reach = np.abs(self.matrix) @ self._half
        if self.bends is not None:
            reach += np.abs(self.bends).max(axis=(1, 2, 3))
        first = np.floor(self._half + self.shift - reach + _ROUNDING).astype(int)
        last = np.ceil(self._half + self.shift + reach - _ROUNDING).astype(int)
        return first.tolist(), (last - first + 1).tolist()

    def moved(self, by: ArrayLike) -> "PatchGeometry":
        """Return the same geometry with every shown place moved ``by`` (3,) voxels of the scan."""
        return replace(self, shift=self.shift + np.asarray(by, dtype=np.float64))

    def place_of(self, voxel: ArrayLike) -> Vectors:
        """Return the place (3,) that a voxel of the patch shows, in voxels from the first of the unchanged patch."""
        at = np.asarray(voxel, dtype=np.float64)
        return self._half + self.matrix @ (at - self._half) + self.shift + self._bend(at)

    def voxel_at(self, place: ArrayLike) -> Vectors:
        """Return the point (3,) of the patch that shows ``place``, the inverse of ``place_of``; in a bend nearly."""
        inverse = np.linalg.inv(self.matrix)
        offset = np.asarray(place, dtype=np.float64) - self._half - self.shift
        voxel = self._half + inverse @ offset
        for _ in range(0 if self.bends is None else _INVERSION_STEPS):
            voxel = self._half + inverse @ (offset - self._bend(voxel))
        return voxel

    def resample(self, volume: Tensor, mode: str) -> Tensor:
        """Return the patch (C, *size) of ``volume`` (C, *box size), read from the box; "bilinear" or "nearest"."""
        if self.is_plain:
            return volume
        size = torch.tensor(volume.shape[1:], device=volume.device)
        places = (2 * self._places(volume.device) + 1) / size - 1
        # Border: places at the box's very edge may be rounded out of it.
        patch = functional.grid_sample(
            volume[None], places.flip(-1)[None], mode=mode, padding_mode="border", align_corners=False
        )
        return patch[0]

    @property
    def _half(self) -> Vectors:
        return (np.array(self.size) - 1) / 2

    def _places(self, device: torch.device) -> Tensor:
        """Return the place (*size, 3) in the box of each voxel of the patch."""
        origin = self._half + self.shift - self.matrix @ self._half - self.box[0]
        # Every device computes the same float32 sums of the same numbers.
        matrix, start = (torch.tensor(values, dtype=torch.float32, device=device) for values in (self.matrix, origin))
        along = [torch.arange(length, dtype=torch.float32, device=device) for length in self.size]
        first, second, third = (axis[:, None] * column for axis, column in zip(along, matrix.T, strict=True))
        places = start + first[:, None, None] + second[None, :, None] + third[None, None]
        if self.bends is None:
            return places
        knots = torch.tensor(self.bends, dtype=torch.float32, device=device)
        spans = (np.linspace(0, KNOT_INTERVALS, length) for length in self.size)
        weights = [torch.tensor(_spline_weights(span), dtype=torch.float32, device=device) for span in spans]
        return places + torch.einsum("cabe,xa,yb,ze->xyzc", knots, *weights)

    def _bend(self, voxel: Vectors) -> Vectors:
        """Return the displacement (3,) at a point of the patch; a point beyond the patch has that of its border."""
        if self.bends is None:
            return np.zeros(3)
        along = np.clip(voxel / np.maximum(np.array(self.size) - 1, 1), 0, 1) * KNOT_INTERVALS
        first, second, third = _spline_weights(along)
        return self.bends @ third @ second @ first


def _spline_weights(at: Vectors) -> Vectors:
    """Return the share of each knot in the cubic B-spline at each of ``at`` (N,) in [0, intervals]: (N, knots)."""
    knot = np.minimum(np.floor(at), KNOT_INTERVALS - 1)
    rest = at - knot
    shares = np.stack(
        [(1 - rest) ** 3, 3 * rest**3 - 6 * rest**2 + 4, -3 * rest**3 + 3 * rest**2 + 3 * rest + 1, rest**3], axis=1
    )
    weights = np.zeros((len(at), NUM_KNOTS))
    np.put_along_axis(weights, knot.astype(int)[:, None] + np.arange(4), shares / 6, axis=1)
    return weights
