"""How patches are changed: rigid in millimetres at any spacing, and within the plane that the voxels allow."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from aunet.data.patches.geometry import PatchGeometry
from aunet.data.patches.random_geometry import RandomGeometry, RotationPlane
from aunet.errors import UserError

SIZE = (12, 10, 8)
SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0), (5.0, 0.7, 0.7), (0.8, 0.8, 2.0), (1.5, 1.0, 2.5)]


def matrix_in_mm(geometry: PatchGeometry, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return the map from mm in the patch to mm in the scan."""
    return np.diag(spacing) @ geometry.matrix @ np.diag(1 / np.array(spacing))


@pytest.mark.parametrize("plane", ["auto", "axial", "any"])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_rotation_keeps_every_length_in_mm(spacing: tuple[float, ...], plane: RotationPlane) -> None:
    random_geometry = RandomGeometry(SIZE, rotation=15.0, probability=1.0, spacing=spacing, rotation_plane=plane)
    for sample in range(20):
        in_mm = matrix_in_mm(random_geometry.draw(0, 0, sample), spacing)
        np.testing.assert_allclose(in_mm @ in_mm.T, np.eye(3), atol=1e-12)
        assert not np.allclose(in_mm, np.eye(3))


@pytest.mark.parametrize("plane", ["auto", "axial", "any"])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_singular_values_of_the_map_in_mm_are_the_zoom_factors(
    spacing: tuple[float, ...], plane: RotationPlane
) -> None:
    settings = {"scale": 0.3, "probability": 1.0, "spacing": spacing, "rotation_plane": plane}
    for sample in range(20):
        zoomed, both = (RandomGeometry(SIZE, rotation=angle, **settings).draw(0, 0, sample) for angle in (0.0, 15.0))
        factors = np.diag(zoomed.matrix)
        np.testing.assert_allclose(zoomed.matrix, np.diag(factors), atol=1e-12)
        assert (np.abs(factors - 1) <= 0.3).all()
        singular = np.linalg.svd(matrix_in_mm(both, spacing), compute_uv=False)
        np.testing.assert_allclose(np.sort(singular), np.sort(factors), atol=1e-9)


@pytest.mark.parametrize(
    ("spacing", "size", "still"),
    [
        ((0.7, 0.7, 5.0), SIZE, 2),
        ((5.0, 0.7, 0.7), SIZE, 0),
        ((0.5, 4.0, 4.0), SIZE, 0),
        ((1.0, 2.0, 4.0), SIZE, 2),
        ((1.0, 1.0, 3.0), SIZE, None),
        ((1.0, 3.5, 1.0), (12, 10, 1), 2),
    ],
)
def test_above_an_aspect_of_three_turns_and_bends_stay_in_the_plane_of_like_spacings(
    spacing: tuple[float, ...], size: tuple[int, ...], still: int | None
) -> None:
    random_geometry = RandomGeometry(size, 15.0, probability=1.0, elastic=0.4, elastic_probability=1.0, spacing=spacing)
    geometry = random_geometry.draw(0, 0, 0)
    assert geometry.bends is not None
    moved = [axis for axis in range(3) if not np.array_equal(geometry.matrix[axis], np.eye(3)[axis])]
    assert moved == [axis for axis in range(3) if axis != still]
    assert [axis for axis in range(3) if geometry.bends[axis].any()] == moved


def test_axial_changes_leave_the_feet_head_axis_as_it_is() -> None:
    random_geometry = RandomGeometry(SIZE, 15.0, 0.3, 0.1, 1.0, 0.4, 1.0, (2.0, 2.0, 2.0), "axial")
    for sample in range(10):
        geometry = random_geometry.draw(0, 0, sample)
        assert geometry.bends is not None
        assert np.array_equal(geometry.matrix[2], [0, 0, 1])
        assert np.array_equal(geometry.matrix[:, 2], [0, 0, 1])
        assert geometry.shift[2] == 0 != geometry.shift[0]
        assert not geometry.bends[2].any()


def test_turns_about_three_axes_are_had_at_any_spacing_for_the_asking() -> None:
    random_geometry = RandomGeometry(SIZE, 15.0, probability=1.0, spacing=(0.7, 0.7, 5.0), rotation_plane="any")
    assert (np.abs(random_geometry.draw(0, 0, 0).matrix - np.eye(3)) > 0).all()


def test_each_setting_changes_what_it_names_and_nothing_else() -> None:
    turned = RandomGeometry(SIZE, rotation=30.0, probability=1.0).draw(0, 0, 0)
    np.testing.assert_allclose(turned.matrix @ turned.matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turned.matrix) == pytest.approx(1)
    assert not turned.shift.any()
    scaled = RandomGeometry(SIZE, scale=0.3, probability=1.0).draw(0, 0, 0)
    factors = np.diag(scaled.matrix)
    assert np.array_equal(scaled.matrix, np.diag(factors))
    assert (np.abs(factors - 1) <= 0.3).all()
    shifted = RandomGeometry(SIZE, shift=0.2, probability=1.0).draw(0, 0, 0)
    assert np.array_equal(shifted.matrix, np.eye(3))
    assert (np.abs(shifted.shift) <= 0.2 * np.array(SIZE)).all()
    assert turned.bends is scaled.bends is shifted.bends is None


def test_turns_about_each_axis_reach_the_largest_angle_and_not_beyond() -> None:
    random_geometry = RandomGeometry(SIZE, rotation=20.0, probability=1.0)
    for axis in range(3):
        only = RandomGeometry(tuple(1 if other == axis else 9 for other in range(3)), rotation=20.0, probability=1.0)
        angles = [np.degrees(np.arccos(np.trace(only.draw(0, 0, k).matrix) / 2 - 0.5)) for k in range(200)]
        assert 18 < max(angles) <= 20
        assert all(only.draw(0, 0, k).matrix[axis, axis] == 1 for k in range(5))
    assert len({random_geometry.draw(0, 0, k).matrix.tobytes() for k in range(20)}) == 20


def test_a_bend_is_smooth_bounded_and_folds_nothing_over() -> None:
    random_geometry = RandomGeometry((33, 33, 33), elastic=0.4, elastic_probability=1.0)
    for sample in range(5):
        geometry = random_geometry.draw(0, 0, sample)
        places = geometry._places(torch.device("cpu")).double().numpy() + geometry.box[0]
        bend = places - np.moveaxis(np.indices((33, 33, 33)), 0, -1)
        assert 0.5 < np.abs(bend).max() <= 0.4 * 8
        steps = np.stack([np.gradient(places, axis=axis) for axis in range(3)], axis=-1)
        assert (np.linalg.det(steps) > 0).all()


def test_a_share_of_the_patches_is_changed() -> None:
    random_geometry = RandomGeometry(SIZE, 10.0, probability=0.75, elastic=0.2, elastic_probability=0.2)
    drawn = [random_geometry.draw(0, 0, sample) for sample in range(400)]
    assert np.mean([not np.array_equal(geometry.matrix, np.eye(3)) for geometry in drawn]) == pytest.approx(
        0.75, abs=0.07
    )
    assert np.mean([geometry.bends is not None for geometry in drawn]) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("setting", [{"scale": 1.0}, {"scale": -0.1}, {"elastic": 0.5}])
def test_settings_that_turn_a_patch_inside_out_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"data\.augmentation\.{next(iter(setting))}"):
        RandomGeometry(SIZE, **setting)


def test_an_unknown_plane_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.augmentation\.rotation_plane=sagittal: it must be one of auto, axial"):
        RandomGeometry(SIZE, rotation_plane="sagittal")  # pyright: ignore[reportArgumentType]
