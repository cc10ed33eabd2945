"""Voxel grids as scanners and converters store them, and values known at every point of space."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]


def affine_of(axes: str, spacing: Sequence[float], angle: float = 0.0) -> Affine:
    """Affine whose stored axes run towards ``axes`` ("LPS"), turned by ``angle`` (radians) about two body axes."""
    directions = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    columns = np.array([directions[axis] for axis in axes], dtype=np.float64).T
    cosine, sine = np.cos(angle), np.sin(angle)
    about_z = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ columns * np.asarray(spacing)
    affine[:3, 3] = [-31.5, 12.25, 220.0]
    return affine


def sheared_affine() -> Affine:
    """Return a CT with tilted gantry: each slice lies a little behind the one below."""
    affine = affine_of("LAS", (0.9, 0.9, 3.0))
    affine[1, 2] = 0.8
    return affine


GEOMETRIES = {
    "as in the network": affine_of("RAS", (1.0, 1.0, 1.0)),
    "anisotropic": affine_of("RAS", (0.7, 0.9, 3.0)),
    "rows from posterior to anterior": affine_of("LAS", (0.6, 0.6, 5.0)),
    "flipped": affine_of("LPI", (0.8, 1.1, 2.0)),
    "sagittal": affine_of("PSR", (1.2, 0.8, 2.5)),
    "coronal": affine_of("RSA", (1.0, 2.0, 1.5)),
    "oblique": affine_of("LPS", (0.9, 1.3, 2.2), angle=0.35),
    "sheared": sheared_affine(),
}


def positions_mm(shape: Sequence[int], affine: Affine) -> NDArray[np.float64]:
    """RAS+ coordinates (3, H, W, D) in mm of every voxel."""
    voxels = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"))
    return np.einsum("ij,j...->i...", affine[:3, :3], voxels) + affine[:3, 3].reshape(3, 1, 1, 1)
