"""Coefficients over a scan: each cell's centre has the same place in the patient as before."""

import nibabel
import numpy as np
import pytest

from aunet.evaluation.viewer_cases import over_scan
from aunet.inference.coefficients import LevelCoefficients


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAL"])
def test_cells_keep_their_place_in_the_patient(axes: str) -> None:
    shape, spacing = (20, 30, 12), (0.8, 1.5, 3.0)
    stored = nibabel.orientations.axcodes2ornt(tuple(axes))
    image = nibabel.Nifti1Image(np.zeros(shape), np.diag([*spacing, 1.0]) + np.eye(4, k=3) * -40.0)
    turned = image.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt(("R", "A", "S")), stored)
    )
    prepared = np.diag([2.0, 2.0, 2.0, 1.0])
    prepared[:3, 3] = image.affine[:3, 3] + 5.0
    level = LevelCoefficients(2, np.zeros((1, 3, 3, 3)), (4.0, 4.0, 2.0), (-1.0, 0.0, 2.0))
    moved = over_scan(level, prepared, turned.affine, turned.shape)
    for cell in ((0, 0, 0), (2, 1, 0), (0, 2, 2)):
        before = prepared @ [*_middle(level, cell), 1.0]
        after = image.affine @ [*_middle(moved, cell), 1.0]
        assert after == pytest.approx(before)


def _middle(level: LevelCoefficients, cell: tuple[int, int, int]) -> np.ndarray:
    """Return the index of a cell's centre, in voxels whose own centres have whole indices."""
    return np.array(level.offset) + (np.array(cell) + 0.5) * np.array(level.cell_size) - 0.5
