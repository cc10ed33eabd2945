"""Random rotation, scaling, shift and bend of patches, drawn by (seed, epoch, sample), in millimetres."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aunet.data.keyed_randomness import Purpose, generator
from aunet.data.patches.geometry import KNOT_INTERVALS, NUM_KNOTS, PatchGeometry, Vectors
from aunet.errors import UserError

RotationPlane = Literal["auto", "axial", "any"]

# Of the distance between knots: below it nothing folds over (Choi and Lee 2000, injectivity of cubic B-splines).
_MOST_BENDING = 0.4
# Above this ratio of the coarsest to the finest spacing a turn across slices would interpolate between slices that
# share little; nnU-Net leaves its spatial augmentation in the plane from the same ratio on (Isensee et al. 2021).
_LARGEST_ASPECT = 3.0
_AXES = np.arange(3)
_FEET_HEAD = 2


@dataclass(frozen=True)
class RandomGeometry:
    """A random geometry of patches; a patch one voxel thick, a 2D image, stays in its plane.

    With S = diag(spacing), rotation R and zoom Z, the matrix in voxels is S^-1 R Z S: the zoom acts along the axes of
    the patch, then the rotation turns it rigidly in mm, so the singular values of the map in mm are the zoom factors.

    Args:
        patch_size: size of the patches (voxels).
        rotation: largest rotation about each axis in degrees.
        scale: the size changes by a factor of 1 - scale to 1 + scale along each axis.
        shift: largest shift along each axis as a share of the patch.
        probability: share of the patches that are rotated, scaled and shifted.
        elastic: largest bend along each axis, as a share of a quarter of the patch.
        elastic_probability: share of the patches that are bent.
        spacing: voxel size in mm; None, as in runs of earlier versions, assumes cubic voxels.
        rotation_plane: "any" turns about all three axes. "auto" does too, unless the largest spacing is above three
            times the smallest: then turns and bends stay in the plane of the two axes most alike in spacing. "axial"
            changes nothing along the feet-head axis, as in the code released with the paper. Zooms and shifts act along
            every other axis at any spacing, as they mix no axes.
    """

    patch_size: tuple[int, ...]
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    probability: float = 0.0
    elastic: float = 0.0
    elastic_probability: float = 0.0
    spacing: tuple[float, ...] | None = None
    rotation_plane: RotationPlane = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.scale < 1:
            raise UserError(f"data.augmentation.scale={self.scale}: it must be at least 0 and below 1.")
        if not 0 <= self.elastic <= _MOST_BENDING:
            raise UserError(
                f"data.augmentation.elastic={self.elastic}: from 0 to {_MOST_BENDING}; beyond it a patch folds over."
            )
        if self.rotation_plane not in get_args(RotationPlane):
            raise UserError(
                f"data.augmentation.rotation_plane={self.rotation_plane}: it must be one of"
                f" {', '.join(get_args(RotationPlane))}."
            )

    def draw(self, seed: int, epoch: int, sample: int) -> PatchGeometry:
        """Draw the geometry of this sample."""
        draw = generator(Purpose.GEOMETRY, seed, epoch, sample)
        is_changed, is_bent = draw.random(2) < (self.probability, self.elastic_probability)
        size, extended, turned = np.array(self.patch_size), self._extended, self._turned
        resized = extended & (_AXES != _FEET_HEAD) if self.rotation_plane == "axial" else extended
        about = np.array([turned[axis != _AXES].all() for axis in range(3)])
        angles = draw.uniform(-1, 1, 3) * math.radians(self.rotation) * about * is_changed
        scales = 1 + draw.uniform(-1, 1, 3) * self.scale * resized * is_changed
        shift = draw.uniform(-1, 1, 3) * self.shift * size * resized * is_changed
        spacing = np.array(self.spacing or (1.0, 1.0, 1.0))
        matrix = _rotation(angles) * scales * spacing / spacing[:, None]
        bends = None
        if is_bent and self.elastic:
            # A share of the patch is the same in voxels and in mm.
            largest = (self.elastic * (size - 1) / KNOT_INTERVALS * turned)[:, None, None, None]
            bends = draw.uniform(-1, 1, (3, NUM_KNOTS, NUM_KNOTS, NUM_KNOTS)) * largest
        return PatchGeometry(self.patch_size, matrix, shift, bends)

    @property
    def _extended(self) -> NDArray[np.bool_]:
        return np.array(self.patch_size) > 1

    @property
    def _turned(self) -> NDArray[np.bool_]:
        """Return along which axes (3,) a rotation or a bend may move voxels."""
        extended = self._extended
        if self.rotation_plane == "axial":
            return extended & (_AXES != _FEET_HEAD)
        sides = {axis: side for axis, side in enumerate(self.spacing or (1.0, 1.0, 1.0)) if extended[axis]}
        if self.rotation_plane == "any" or len(sides) < 3 or _aspect(sides.values()) <= _LARGEST_ASPECT:
            return extended
        planes = combinations(sorted(sides, key=lambda axis: sides[axis]), 2)
        most_alike = min(planes, key=lambda plane: round(_aspect(sides[axis] for axis in plane), 6))
        return np.isin(_AXES, most_alike)


def _aspect(sides: Iterable[float]) -> float:
    lengths = list(sides)
    return max(lengths) / min(lengths)


def _rotation(angles: Sequence[float] | Vectors) -> Vectors:
    """Return (3, 3): a turn about axis 2, then 1, then 0, by ``angles`` in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (other for other in range(3) if other != axis)
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix
