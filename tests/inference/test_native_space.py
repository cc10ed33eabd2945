"""Predictions at the scan's own voxels: round trips through preprocessing, and closed forms."""

from collections.abc import Sequence

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from aunet.data.io.volume import Volume
from aunet.data.preprocessing.steps import Preprocessing
from aunet.inference.native_space import RowRestorer, restore_label_map
from aunet.inference.scan_rows import restored_rows
from tests.data.geometries import GEOMETRIES, positions_mm

SHAPE = (30, 24, 14)
PARALLEL = pytest.mark.parametrize("affine", GEOMETRIES.values(), ids=GEOMETRIES)


def logits_of(label: np.ndarray, num_classes: int) -> Tensor:
    return 8.0 * F.one_hot(torch.from_numpy(label).long(), num_classes).movedim(-1, 0).float()


def restore_probabilities(logits: Tensor, affine: np.ndarray, shape: Sequence[int], native: np.ndarray) -> np.ndarray:
    """Probabilities (K, H, W, D) from logits that come in slabs of 3 rows and are restored 2 rows at a time."""
    restorer = RowRestorer(affine, logits.shape[1:], shape, native, most_rows=2)
    rows = sorted(restored_rows(logits.split(3, dim=1), restorer, logits.shape[1:], False), key=lambda row: row.index)
    assert [row.index for row in rows] == list(range(shape[restorer.axis]))
    return torch.stack([row.probabilities for row in rows], dim=1 + restorer.axis).numpy()


def ellipsoid(affine: np.ndarray) -> np.ndarray:
    """Class 1 with a core of class 2, axes in proportion to the field of view, off centre."""
    positions = positions_mm(SHAPE, affine)
    flat = positions.reshape(3, -1)
    extent = flat.max(axis=1) - flat.min(axis=1)
    middle = flat.mean(axis=1) + 0.05 * extent
    distance = np.linalg.norm((positions - middle.reshape(3, 1, 1, 1)) / extent.reshape(3, 1, 1, 1), axis=0)
    return ((distance < 0.35).astype(np.uint8) + (distance < 0.2)).astype(np.uint8)


def ras_spacing(affine: np.ndarray) -> list[float]:
    """Spacing of the scan along its axes put in the order right, anterior, superior."""
    order = np.argsort(nibabel.io_orientation(affine)[:, 0])
    return np.linalg.norm(affine[:3, :3], axis=0)[order].tolist()


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@PARALLEL
def test_a_label_map_returns_exactly_where_the_spacing_was_kept(affine: np.ndarray) -> None:
    label = np.random.default_rng(0).integers(0, 5, SHAPE).astype(np.uint8)
    prepared = Preprocessing(None, "mr", (0, 1)).label(Volume(label, affine))
    restored = restore_label_map(logits_of(prepared.array, 5), prepared.affine, SHAPE, affine)
    assert restored.dtype == np.uint8
    assert np.array_equal(restored, label)


@PARALLEL
@pytest.mark.parametrize("factor", [0.5, 1 / 3])
def test_an_organ_returns_with_dice_of_at_least_099_from_a_finer_grid(affine: np.ndarray, factor: float) -> None:
    label = ellipsoid(affine)
    spacing = tuple(factor * side for side in ras_spacing(affine))
    prepared = Preprocessing(spacing, "mr", (0, 1)).label(Volume(label, affine))
    restored = restore_label_map(logits_of(prepared.array, 3), prepared.affine, SHAPE, affine)
    assert dice(restored > 0, label > 0) >= 0.99
    assert dice(restored == 2, label == 2) >= 0.99


@PARALLEL
def test_an_ellipsoid_known_at_half_the_resolution_is_restored_with_dice_of_at_least_099(affine: np.ndarray) -> None:
    """Logits that fall linearly with the distance from the surface, as a good network's do near it."""
    native = Volume(np.zeros((64, 60, 40), np.uint8), affine)
    grid = Preprocessing(tuple(2 * side for side in ras_spacing(affine)), "mr", (0, 1)).label(native)

    def depth(shape: Sequence[int], affine_of_grid: np.ndarray) -> np.ndarray:
        voxels = positions_mm(shape, np.linalg.inv(affine) @ affine_of_grid)
        return 16 - np.linalg.norm(voxels - np.array([32.6, 28.3, 19.1]).reshape(3, 1, 1, 1), axis=0)

    inside = depth(grid.array.shape, grid.affine)
    restored = restore_label_map(torch.from_numpy(np.stack([-inside, inside])), grid.affine, native.shape, affine)
    assert dice(restored > 0, depth(native.shape, affine) > 0) >= 0.99


def test_voxels_outside_the_grid_are_background() -> None:
    logits = logits_of(np.ones((4, 4, 4), np.uint8), 2)
    affine = np.eye(4)
    affine[:3, 3] = [2, 2, 2]
    restored = restore_label_map(logits, affine, (8, 8, 8), np.eye(4))
    expected = np.zeros((8, 8, 8), np.uint8)
    expected[2:6, 2:6, 2:6] = 1
    assert np.array_equal(restored, expected)
    probabilities = restore_probabilities(logits, affine, (8, 8, 8), np.eye(4))
    assert (probabilities[0][expected == 0] == 1).all()
    assert (probabilities[1][expected == 0] == 0).all()


@PARALLEL
def test_probabilities_sum_to_one_and_their_highest_class_is_the_label_map(affine: np.ndarray) -> None:
    volume = Volume(np.zeros(SHAPE, np.uint8), affine)
    grid = Preprocessing((1.3, 1.3, 1.3), "mr", (0, 1)).label(volume)
    logits = torch.randn((3, *grid.array.shape), generator=torch.Generator().manual_seed(1))
    probabilities = restore_probabilities(logits, grid.affine, SHAPE, affine)
    assert probabilities.shape == (3, *SHAPE)
    assert np.allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    assert np.array_equal(probabilities.argmax(axis=0), restore_label_map(logits, grid.affine, SHAPE, affine))


def test_probabilities_of_an_unchanged_grid_are_the_softmax() -> None:
    logits = torch.randn((3, 4, 5, 6), generator=torch.Generator().manual_seed(1))
    restored = restore_probabilities(logits, np.eye(4), (4, 5, 6), np.eye(4))
    assert np.allclose(restored, logits.softmax(0), atol=1e-6)


def test_logits_are_averaged_over_the_voxels_of_a_scan_coarser_than_the_network() -> None:
    logits = torch.randn((2, 12, 12, 12), generator=torch.Generator().manual_seed(1))
    native = np.diag([3.0, 1.0, 1.0, 1.0])
    native[0, 3] = 1.0
    restored = restore_probabilities(logits, np.eye(4), (4, 12, 12), native)
    assert np.allclose(restored, F.avg_pool3d(logits, (3, 1, 1)).softmax(0), atol=1e-6)
    label = restore_label_map(logits, np.eye(4), (4, 12, 12), native)
    assert np.array_equal(label, restored.argmax(axis=0))
    assert not np.array_equal(label, restore_label_map(logits, np.eye(4), (4, 12, 12), native, "linear"))


def test_logits_are_interpolated_linearly_at_a_finer_scan() -> None:
    logits = torch.arange(5.0).reshape(1, 5, 1, 1) * torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    native = np.diag([0.25, 1.0, 1.0, 1.0])
    restored = restore_probabilities(logits, np.eye(4), (17, 1, 1), native)[0].ravel()
    assert np.allclose(restored, torch.linspace(0, 8, 17).sigmoid(), atol=1e-6)
