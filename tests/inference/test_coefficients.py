"""The coefficients of one level over an image."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from aunet.attention.panels import show_level
from aunet.classes import Labels
from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.coefficients import LevelCoefficients
from aunet.inference.gate_volumes import average_gates
from aunet.inference.prediction import Outputs
from aunet.inference.predictor import Predictor
from aunet.inference.sliding_window import predict_coefficients
from aunet.inference.window_layout import Window
from aunet.reporting.pictures.planes import AxialView, LabelledScan
from tests.data.geometries import GEOMETRIES, positions_mm
from tests.inference.tiny_networks import Pointwise


@pytest.mark.parametrize(("index", "cell"), [(0, 0), (2, 0), (3, 1), (6, 1), (7, 2), (99, 2)])
def test_an_axial_plane_is_that_of_the_cells_over_the_slice(index: int, cell: int) -> None:
    """Cells of 4 slices that begin one slice before the image: the first covers slices 0 to 2."""
    values = np.arange(3.0).reshape(1, 1, 1, 3)
    level = LevelCoefficients(2, values, (4.0, 4.0, 4.0), (0.0, 0.0, -1.0))
    assert level.axial_plane(index).item() == cell


def test_the_maps_of_each_gate_are_averaged_in_their_order() -> None:
    values = np.random.default_rng(0).random((6, 2, 3, 4)).astype(np.float32)
    level = LevelCoefficients(3, values, (4.0, 4.0, 2.0), (-1.0, 0.0, 0.0))

    averaged = average_gates(level, 2)

    np.testing.assert_allclose(averaged.values, [values[:3].mean(axis=0), values[3:].mean(axis=0)], rtol=1e-6)
    assert (averaged.level, averaged.cell_size, averaged.offset) == (3, level.cell_size, level.offset)


@pytest.mark.parametrize("geometry", ["flipped", "sagittal", "oblique", "sheared"])
@pytest.mark.parametrize("level", [2, 3])
def test_attention_lies_on_the_organ_on_the_scan_and_in_pictures_of_the_training(geometry: str, level: int) -> None:
    """A bright ball, whose place is known in mm, is where coefficients that follow the brightness are largest."""
    affine, shape = GEOMETRIES[geometry], (48, 40, 28)
    ball = affine[:3] @ [26.3, 17.8, 12.6, 1]
    distances = np.linalg.norm(positions_mm(shape, affine) - ball[:, None, None, None], axis=0)
    scan = Volume(np.exp(-((distances / 8) ** 2)).astype(np.float32), affine)
    preprocessing = Preprocessing((1.5, 1.2, 1.8), "mr", None)
    predictor = Predictor(Pointwise(), preprocessing, Labels(("background", "ball")), Window((16, 16, 16)))

    native = center_of(predictor.predict_volume([scan], Outputs(attention=True)).attention[f"level_{level}_gate_1"])
    assert np.linalg.norm(affine[:3] @ [*native, 1] - ball) < 0.5

    prepared = preprocessing.image([scan])
    levels = predict_coefficients(Pointwise(), torch.from_numpy(prepared.array), predictor.inferer)
    image, spacing = prepared.array[0], Volume(prepared.array[0], prepared.affine).spacing
    voxel = np.linalg.inv(prepared.affine) @ [*ball, 1]
    shown = LabelledScan(image, np.zeros(image.shape, np.uint8), spacing)
    view = AxialView(shown, round(float(voxel[2])), (0.0, 1.0))
    axes = Figure().add_subplot()
    show_level(axes, view, levels[level], 0)
    drawn = axes.images[-1]
    left, right, bottom, top = drawn.get_extent()
    pixels = np.asarray(drawn.get_array())
    row, column = center_of(pixels) + 0.5  # rows run up, along the second axis
    x, y = left + column * (right - left) / pixels.shape[1], bottom + row * (top - bottom) / pixels.shape[0]
    assert np.allclose([x, y], (voxel[:2] + 0.5) * spacing[:2], atol=0.5)


def center_of(values: np.ndarray) -> np.ndarray:
    """Return the centre of what is brighter than half of the largest brightness."""
    weights = np.clip(values - (values.min() + values.max()) / 2, 0, None)
    return np.array([np.average(places, weights=weights) for places in np.indices(values.shape)])
