"""The coefficients of one level over an image."""

import numpy as np
import pytest

from aunet.inference.coefficients import LevelCoefficients


@pytest.mark.parametrize(("index", "cell"), [(0, 0), (2, 0), (3, 1), (6, 1), (7, 2), (99, 2)])
def test_an_axial_plane_is_that_of_the_cells_over_the_slice(index: int, cell: int) -> None:
    """Cells of 4 slices that begin one slice before the image: the first covers slices 0 to 2."""
    values = np.arange(3.0).reshape(1, 1, 1, 3)
    level = LevelCoefficients(2, values, (4.0, 4.0, 4.0), (0.0, 0.0, -1.0))
    assert level.axial_plane(index).item() == cell


def test_the_maps_of_each_gate_are_averaged_in_their_order() -> None:
    values = np.random.default_rng(0).random((6, 2, 3, 4)).astype(np.float32)
    level = LevelCoefficients(3, values, (4.0, 4.0, 2.0), (-1.0, 0.0, 0.0))

    averaged = level.average_gates(2)

    np.testing.assert_allclose(averaged.values, [values[:3].mean(axis=0), values[3:].mean(axis=0)], rtol=1e-6)
    assert (averaged.level, averaged.cell_size, averaged.offset) == (3, level.cell_size, level.offset)
