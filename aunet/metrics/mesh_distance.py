"""Distance between the triangle meshes of two masks, by pymeshmetrics, an optional package (arXiv 2509.05670).

The paper's surface-to-surface distance is one between meshes. Ours, between surface elements of the voxels, needs no
package and differs from it by a fraction of a voxel (docs/decisions.md).
"""

import importlib.util
from collections.abc import Sequence

import numpy as np

from aunet.errors import UserError
from aunet.metrics.overlap import Mask


def check_meshes() -> None:
    """Raise UserError, with the command that installs it, if pymeshmetrics is missing."""
    if importlib.util.find_spec("meshmetrics") is None:
        raise UserError("--mesh: needs the package pymeshmetrics, with VTK 570 MB: pip install 'aunet[mesh]'.")


def mesh_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Return the average symmetric distance (mm) of two meshes, weighted by area; NaN if a mask is empty.

    Axes of length 1 are dropped: the mesh of a picture is its contour.
    """
    if not prediction.any() or not reference.any():
        return float("nan")
    from meshmetrics import DistanceMetrics  # pyright: ignore[reportMissingImports,reportUnknownVariableType]

    kept = [axis for axis, length in enumerate(reference.shape) if length > 1]
    masks = [np.ascontiguousarray(mask.squeeze(), dtype=np.bool_) for mask in (reference, prediction)]
    metrics = DistanceMetrics(verbose=False)  # pyright: ignore[reportUnknownVariableType]
    metrics.set_input(*masks, spacing=tuple(float(spacing[axis]) for axis in kept))  # pyright: ignore[reportUnknownMemberType]
    return float(metrics.assd())  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]
