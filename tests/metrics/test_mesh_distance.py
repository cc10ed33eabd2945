"""Distances of meshes against closed forms; without the package, the message that names it."""

import importlib.util

import numpy as np
import pytest

from aunet.errors import UserError
from aunet.metrics.mask_pair import MaskPair
from aunet.metrics.mesh_distance import check_meshes, mesh_distance

needs_meshes = pytest.mark.skipif(
    importlib.util.find_spec("meshmetrics") is None, reason="pip install 'aunet[mesh]' (570 MB with VTK)"
)


def ball(radius: float, spacing: tuple[float, float, float], axes: tuple[int, int, int] = (0, 1, 2)) -> np.ndarray:
    """Return a ball of ``radius`` mm in a cube of 40 mm."""
    sides = [np.arange(0, 40, side) - 20 for side in spacing]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"))
    return (np.square(grid).sum(axis=0) <= radius**2).transpose(axes)


@needs_meshes
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 2.0), (2.0, 1.0, 0.5)])
def test_concentric_balls_are_apart_by_the_difference_of_their_radii(spacing: tuple[float, float, float]) -> None:
    found = mesh_distance(ball(14, spacing), ball(10, spacing), spacing)
    assert found == pytest.approx(4, abs=0.35)
    ours = MaskPair(ball(14, spacing), ball(10, spacing), spacing).element_distances.mean()
    assert found == pytest.approx(ours, abs=0.35)


@needs_meshes
def test_the_order_of_axes_does_not_matter() -> None:
    spacing = (0.5, 1.0, 2.0)
    found = mesh_distance(ball(14, spacing), ball(9, spacing), spacing)
    turned = [ball(radius, spacing, (2, 0, 1)) for radius in (14, 9)]
    assert mesh_distance(turned[0], turned[1], (2.0, 0.5, 1.0)) == pytest.approx(found, rel=1e-3)


@needs_meshes
def test_contours_of_pictures_are_measured_and_equal_masks_are_0_apart() -> None:
    outer, inner = (ball(radius, (1.0, 1.0, 1.0))[:, :, 20:21] for radius in (14, 10))
    assert mesh_distance(outer, inner, (1.0, 1.0, 1.0)) == pytest.approx(4, abs=0.35)
    assert mesh_distance(inner, inner, (1.0, 1.0, 1.0)) == pytest.approx(0, abs=1e-6)


def test_an_empty_mask_has_no_mesh_and_needs_no_package() -> None:
    full, empty = np.ones((3, 3, 3), dtype=bool), np.zeros((3, 3, 3), dtype=bool)
    assert np.isnan(mesh_distance(full, empty, (1.0, 1.0, 1.0)))
    assert np.isnan(mesh_distance(empty, full, (1.0, 1.0, 1.0)))


def test_a_missing_package_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'aunet\[mesh\]'"):
        check_meshes()
