"""Where the voxels of an augmented patch lie in its scan.

It is drawn before the patch is read, as a function of (seed, epoch, sample), so that all of them are read and little
else. MONAI's spatial transforms draw when they transform, which is too late to read more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from aunet.data.keyed_randomness import Purpose, generator
from aunet.errors import UserError

Vectors = NDArray[np.float64]

# Knots of the bending along each axis; the outermost lie beyond the patch.
_KNOTS = 7
_INTERVALS = _KNOTS - 3
# Of the distance between knots: below it nothing folds over (Choi and Lee 2000, injectivity of cubic B-splines).
_MOST_BENDING = 0.4
# Of a voxel: coordinates that are meant to be whole are rounded to their neighbour.
_ROUNDING = 1e-6


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
        """Whether it changes nothing."""
        return self.bends is None and np.array_equal(self.matrix, np.eye(3)) and not self.shift.any()

    @property
    def box(self) -> tuple[list[int], list[int]]:
        """First voxel, from the first of the unchanged patch, and size of the smallest box with all it shows."""
        half = (np.array(self.size) - 1) / 2
        reach = np.abs(self.matrix) @ half
        if self.bends is not None:
            reach += np.abs(self.bends).max(axis=(1, 2, 3))
        first = np.floor(half + self.shift - reach + _ROUNDING).astype(int)
        last = np.ceil(half + self.shift + reach - _ROUNDING).astype(int)
        return first.tolist(), (last - first + 1).tolist()

    def resample(self, volume: Tensor, mode: str) -> Tensor:
        """The patch (C, *size) of ``volume`` (C, *box size), what was read of the box; "bilinear" or "nearest"."""
        if self.is_plain:
            return volume
        size = torch.tensor(volume.shape[1:], device=volume.device)
        places = (2 * self._places(volume.device) + 1) / size - 1
        # Border: places at the box's very edge may be rounded out of it.
        patch = functional.grid_sample(
            volume[None], places.flip(-1)[None], mode=mode, padding_mode="border", align_corners=False
        )
        return patch[0]

    def _places(self, device: torch.device) -> Tensor:
        """(*size, 3): where in the box each voxel of the patch lies."""
        half = (np.array(self.size) - 1) / 2
        origin = half + self.shift - self.matrix @ half - self.box[0]
        # On every device the same float32 sums of the same numbers.
        matrix, start = (torch.tensor(values, dtype=torch.float32, device=device) for values in (self.matrix, origin))
        along = [torch.arange(length, dtype=torch.float32, device=device) for length in self.size]
        first, second, third = (axis[:, None] * column for axis, column in zip(along, matrix.T, strict=True))
        places = start + first[:, None, None] + second[None, :, None] + third[None, None]
        if self.bends is None:
            return places
        knots = torch.tensor(self.bends, dtype=torch.float32, device=device)
        weights = [_spline_weights(length).to(device) for length in self.size]
        return places + torch.einsum("cabe,xa,yb,ze->xyzc", knots, *weights)


@dataclass(frozen=True)
class RandomGeometry:
    """How patches are changed; a patch one voxel thick, a 2D image, stays in its plane.

    ``rotation`` is the largest about each axis in degrees; the size changes by a factor of 1 - ``scale`` to
    1 + ``scale`` along each axis; ``shift`` is the largest as a share of the patch; a share ``probability`` of the
    patches is so changed. A share ``elastic_probability`` is bent, by up to ``elastic`` of a quarter of the patch.
    """

    patch_size: tuple[int, ...]
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    probability: float = 0.0
    elastic: float = 0.0
    elastic_probability: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.scale < 1:
            raise UserError(f"data.augmentation.scale={self.scale}: it must be at least 0 and below 1.")
        if not 0 <= self.elastic <= _MOST_BENDING:
            raise UserError(
                f"data.augmentation.elastic={self.elastic}: from 0 to {_MOST_BENDING}; beyond it a patch folds over."
            )

    def draw(self, seed: int, epoch: int, sample: int) -> PatchGeometry:
        """How this sample is changed."""
        draw = generator(Purpose.GEOMETRY, seed, epoch, sample)
        is_changed, is_bent = draw.random(2) < (self.probability, self.elastic_probability)
        size, extended = np.array(self.patch_size), np.array(self.patch_size) > 1
        turned = np.array([extended[[other for other in range(3) if other != axis]].all() for axis in range(3)])
        angles = draw.uniform(-1, 1, 3) * math.radians(self.rotation) * turned * is_changed
        scales = 1 + draw.uniform(-1, 1, 3) * self.scale * extended * is_changed
        shift = draw.uniform(-1, 1, 3) * self.shift * size * extended * is_changed
        rotation = _rotation(angles)
        bends = None
        if is_bent and self.elastic:
            largest = (self.elastic * (size - 1) / _INTERVALS)[:, None, None, None]
            bends = draw.uniform(-1, 1, (3, _KNOTS, _KNOTS, _KNOTS)) * largest
        return PatchGeometry(self.patch_size, rotation * scales, rotation @ shift, bends)


def _rotation(angles: Sequence[float] | Vectors) -> Vectors:
    """(3, 3): about axis 2, then 1, then 0, by ``angles`` in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix


def _spline_weights(length: int) -> Tensor:
    """(length, knots): the share of each knot in the cubic B-spline at each voxel; they sum to 1."""
    at = torch.linspace(0, _INTERVALS, length, dtype=torch.float64)
    knot = at.floor().clamp(max=_INTERVALS - 1)
    rest = at - knot
    shares = torch.stack(
        [(1 - rest) ** 3, 3 * rest**3 - 6 * rest**2 + 4, -3 * rest**3 + 3 * rest**2 + 3 * rest + 1, rest**3], dim=1
    )
    weights = torch.zeros(length, _KNOTS, dtype=torch.float64)
    return weights.scatter_(1, knot.long()[:, None] + torch.arange(4), shares / 6).float()
