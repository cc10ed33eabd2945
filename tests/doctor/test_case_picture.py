"""The picture of a case shows its label where the affines put it."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from nibabel.orientations import apply_orientation, inv_ornt_aff

from aunet.classes import Labels
from aunet.doctor import case_picture as picture
from aunet.doctor.case_picture import NO_CLASS, case_picture, on_grid_of

LABELS = Labels(("background", "organ"))
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def block(shape: tuple[int, int, int] = (20, 16, 12)) -> np.ndarray:
    label = np.zeros(shape, np.uint8)
    label[4:9, 5:8, 3:6] = 1
    return label


def test_a_label_on_the_same_grid_stays() -> None:
    image = np.zeros((20, 16, 12), np.float32)
    assert on_grid_of((image, AFFINE), (block(), AFFINE)) is not None
    np.testing.assert_array_equal(on_grid_of((image, AFFINE), (block(), AFFINE)), block())


def test_a_label_stored_turned_or_cropped_lands_on_the_same_voxels() -> None:
    image = np.zeros((20, 16, 12), np.float32)
    turn = np.array([[2, -1], [0, 1], [1, -1]])
    turned = (apply_orientation(block(), turn), AFFINE @ inv_ornt_aff(turn, (20, 16, 12)))
    np.testing.assert_array_equal(on_grid_of((image, AFFINE), turned), block())
    cropped_affine = AFFINE.copy()
    cropped_affine[:3, 3] = AFFINE[:3, :3] @ (2, 3, 1)
    cropped = (block()[2:12, 3:10, 1:8], cropped_affine)
    np.testing.assert_array_equal(on_grid_of((image, AFFINE), cropped), block())


@pytest.mark.parametrize(("shape", "num_panels"), [((40, 40, 30), 3), ((40, 40, 1), 2)])
def test_a_volume_has_two_axial_panels_and_a_coronal_one_and_an_image_no_coronal(
    shape: tuple[int, int, int], num_panels: int, tmp_path: Path
) -> None:
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    label = np.zeros(shape, np.uint8)
    label[10:20, 10:20] = 1
    path = tmp_path / "case.png"
    case_picture((image, np.eye(4)), (label, np.eye(4)), LABELS, path, title="case", remarks=["too bright"])
    height, width = imread(path).shape[:2]
    assert width == pytest.approx(110 * (0.1 + 2.6 * num_panels + 0.05 * (num_panels - 1)), abs=2)
    assert height > 110 * 2.6


@pytest.mark.parametrize("depth", [1, 20])
def test_only_volumes_have_sides_and_a_scale(depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[bool] = []
    monkeypatch.setattr(picture, "finish_panel", lambda *_, has_marks, letters: marked.append(has_marks))
    image, label = np.zeros((20, 20, depth), np.float32), np.ones((20, 20, depth), np.uint8)
    case_picture((image, np.eye(4)), (label, np.eye(4)), LABELS, tmp_path / "a.png", title="case", remarks=[])
    assert set(marked) == {depth > 1}


def test_a_value_without_a_class_is_drawn_in_a_colour_of_its_own(tmp_path: Path) -> None:
    image = np.zeros((30, 30, 4), np.float32)
    label = np.full((30, 30, 4), NO_CLASS, np.uint8)
    case_picture((image, np.eye(4)), (label, np.eye(4)), LABELS, tmp_path / "a.png", title="case", remarks=[])
    pixels = imread(tmp_path / "a.png")[..., :3]
    is_pink = (pixels[..., 0] > pixels[..., 1] + 0.1) & (pixels[..., 2] > pixels[..., 1] + 0.02)
    assert is_pink.mean() > 0.2
