"""Label maps return to the grid of their scan from every format: a network that thresholds labels each voxel."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from volume_files import WRITERS

from aunet.classes import Labels
from aunet.data.io.formats import FORMATS
from aunet.data.io.volume import Volume, align, label_suffix, read_grid, read_label
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.predictor import Predictor
from aunet.inference.window_layout import Window
from tests.data.geometries import GEOMETRIES
from tests.inference.tiny_networks import Threshold

# Wider than a window along one axis, narrower along the others.
ARRAY = np.random.default_rng(0).integers(-1000, 1500, (35, 14, 9)).astype(np.int16)
LABELS = Labels(("background", "bright"))


def threshold(modality: str = "mr") -> Predictor:
    """Return a predictor of the voxels above their mean, which it standardises to 0."""
    return Predictor(Threshold(), Preprocessing(None, modality, (0.0, 1.0)), LABELS, Window((16, 16, 16)))


@pytest.mark.parametrize("geometry", ["anisotropic", "flipped", "sagittal", "oblique", "sheared"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_label_map_returns_voxel_for_voxel_to_the_grid_of_a_scan(name: str, geometry: str, tmp_path: Path) -> None:
    scan = WRITERS[name](tmp_path / name, ARRAY, GEOMETRIES[geometry])
    label_map = tmp_path / f"label{label_suffix(scan)}"
    threshold().predict(scan).write(label_map)
    written, (shape, affine) = read_label(label_map), read_grid(scan)
    assert written.shape == shape
    assert np.allclose(written.affine, affine, atol=1e-4)
    expected = Volume((ARRAY.mean() < ARRAY).astype(np.uint8), GEOMETRIES[geometry])
    assert np.array_equal(align(written, expected).array, expected.array)


@pytest.mark.parametrize("name", WRITERS)
def test_a_label_map_returns_to_a_scan_of_one_slice(name: str, tmp_path: Path) -> None:
    plane = ARRAY[:, :, :1]
    scan = WRITERS[name](tmp_path / name, plane, GEOMETRIES["oblique"])
    label_map = tmp_path / f"label{label_suffix(scan)}"
    threshold().predict(scan).write(label_map)
    expected = Volume((plane > plane.mean()).astype(np.uint8), GEOMETRIES["oblique"])
    assert np.array_equal(align(read_label(label_map), expected).array, expected.array)


@pytest.mark.parametrize("name", ["cell.png", "cell.tif"])
def test_a_label_map_returns_to_the_rows_and_columns_of_a_picture(name: str, tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (19, 41)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / name)
    threshold("picture").predict(tmp_path / name).write(tmp_path / "label.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "label.png")), picture > picture.mean())


def test_every_format_takes_part_in_a_round_trip() -> None:
    names = [*WRITERS, "cell.png", "cell.tif"]
    assert all(any(kind.fits(Path(name)) for name in names) for kind in FORMATS)
