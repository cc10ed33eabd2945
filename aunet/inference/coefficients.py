"""The coefficients of a gated level over an image: one form from the network to files and pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LevelCoefficients:
    """The coefficients of one gated level over an image: ``values`` (maps, h, w, d).

    Along each axis, cell ``i`` covers the voxels of the image from ``offset + i * cell_size`` to
    ``offset + (i + 1) * cell_size``; it may extend beyond the image's edge.

    Examples:
        >>> level = LevelCoefficients(2, np.array([[[[0.1, 0.7]]]]), cell_size=(4.0, 4.0, 2.0))
        >>> level.axial_plane(3).tolist()
        [[[0.7]]]
    """

    level: int
    values: NDArray[np.floating]
    cell_size: tuple[float, float, float]
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def axial_plane(self, index: int) -> NDArray[np.floating]:
        """Return the cells (maps, h, w) over the voxels with ``index`` along axis 2."""
        cell = int((index + 0.5 - self.offset[2]) // self.cell_size[2])
        return self.values[..., min(max(cell, 0), self.values.shape[3] - 1)]
