"""Labels on coarser grids keep their volumes, judged by shapes whose volume is known."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from aunet.data.preprocessing.label_resampling import resample_label, resample_label_linearly
from aunet.data.preprocessing.resampling import GridMapping, respaced_grid


def at_spacing(label: NDArray[np.uint8], spacing: float) -> NDArray[np.uint8]:
    shape, affine = respaced_grid(label.shape, np.eye(4), (spacing,) * 3)
    return resample_label(torch.from_numpy(label), GridMapping(np.eye(4), shape, affine)).numpy()


def ball(radius: float, middle: NDArray[np.float64]) -> NDArray[np.uint8]:
    distance = np.linalg.norm(np.indices((44, 44, 44)) - middle.reshape(3, 1, 1, 1), axis=0)
    return (distance < radius).astype(np.uint8)


def mean_ratio(radius: float, spacing: float) -> float:
    """Volume of resampled balls at 16 places, by that of the analytic ball."""
    draw = np.random.default_rng(0)
    balls = [ball(radius, 21.5 + draw.uniform(-1, 1, 3)) for _ in range(16)]
    volume = np.mean([at_spacing(label, spacing).sum() for label in balls]) * spacing**3
    return float(volume / (4 / 3 * np.pi * radius**3))


@pytest.mark.parametrize(("radius", "spacing"), [(18.0, 1.5), (18.0, 2.0), (10.0, 2.0), (6.0, 2.0)])
def test_a_ball_keeps_its_volume_at_a_coarser_spacing_but_for_its_curvature(radius: float, spacing: float) -> None:
    assert mean_ratio(radius, spacing) == pytest.approx(1 - spacing**2 / (4 * radius**2), abs=0.015)


def test_a_box_of_odd_sides_keeps_its_volume_exactly() -> None:
    label = np.zeros((32, 32, 32), np.uint8)
    label[4:28, 6:22, 7:22] = 1  # along the last axis half a voxel of 2 mm remains
    assert 8 * at_spacing(label, 2.0).sum() == label.sum()


@pytest.mark.parametrize("normal", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, -1, 1), (0, 1, 2)])
def test_neither_side_of_a_plane_grows(normal: tuple[int, ...]) -> None:
    """Over two places of the plane, as one may cut every voxel of 2 mm into unequal parts of the same kind."""
    label = (np.tensordot(normal, np.indices((65, 65, 65)) - 32, axes=1) > 0).astype(np.uint8)
    cuts = [label[first : first + 64, :64, :64] for first in (0, 1)]
    assert np.mean([at_spacing(cut, 2.0) for cut in cuts]) == pytest.approx(np.mean(cuts), abs=0.002)


def test_no_class_wins_ties_by_its_number() -> None:
    """Three classes, each a third of every voxel of 3 mm."""
    label = np.empty((72, 72, 72), np.uint8)
    label[...] = (np.arange(72) % 3)[:, None, None]
    shares = np.bincount(at_spacing(label, 3.0).ravel(), minlength=3) / 24**3
    assert shares == pytest.approx([1 / 3] * 3, abs=0.06)


def test_a_wire_thinner_than_half_a_voxel_vanishes() -> None:
    label = np.zeros((16, 16, 16), np.uint8)
    label[:, 7, 7] = 1
    assert not at_spacing(label, 2.0).any()


def test_the_largest_share_wins_by_brute_force() -> None:
    label = np.random.default_rng(0).integers(0, 4, (12, 12, 12)).astype(np.uint8)
    coarse = at_spacing(label, 3.0)
    for place in np.ndindex(coarse.shape):
        block = label[tuple(slice(3 * at, 3 * at + 3) for at in place)]
        counts = np.bincount(block.ravel(), minlength=4)
        assert counts[coarse[place]] == counts.max()


def test_the_form_of_earlier_versions_grows_balls() -> None:
    """Kept for runs that were trained with it."""
    label = ball(10.0, np.array([21.5, 21.2, 21.9]))
    shape, affine = respaced_grid(label.shape, np.eye(4), (2.0, 2.0, 2.0))
    mapping = GridMapping(np.eye(4), shape, affine, "linear")
    assert 8 * resample_label_linearly(torch.from_numpy(label), mapping).sum() > 1.02 * label.sum()
