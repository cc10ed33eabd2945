"""Distances of meshes against closed forms; without the package, the message that names it."""

import importlib.util
import sys
from types import SimpleNamespace

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


def test_the_package_receives_reference_and_prediction_without_axes_of_length_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Noting:
        def __init__(self, *, verbose: bool) -> None:
            assert not verbose

        def set_input(self, *masks: np.ndarray, spacing: tuple[float, ...]) -> None:
            self.masks, self.spacing = masks, spacing
            noted.append(self)

        def assd(self) -> np.float32:
            return np.float32(2.5)

    noted: list[Noting] = []
    monkeypatch.setitem(sys.modules, "meshmetrics", SimpleNamespace(DistanceMetrics=Noting))
    prediction, reference = np.random.default_rng(0).random((2, 4, 1, 3)) > 0.5

    assert mesh_distance(prediction, reference, (1.5, 9.0, np.float64(3))) == 2.5
    [metrics] = noted
    assert np.array_equal(metrics.masks[0], reference[:, 0])
    assert np.array_equal(metrics.masks[1], prediction[:, 0])
    assert all(mask.dtype == bool and mask.flags.c_contiguous for mask in metrics.masks)
    assert metrics.spacing == (1.5, 3.0)
    assert all(type(side) is float for side in metrics.spacing)


def test_a_missing_package_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "meshmetrics" else object())
    message = r"--mesh: needs the package pymeshmetrics, with VTK 570 MB: pip install 'aunet\[mesh\]'\."
    with pytest.raises(UserError, match=message):
        check_meshes()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    check_meshes()
