"""A chosen voxel is in the augmented patch, uniformly and without need for what lies beyond the scan."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from aunet.data.patches.geometry import PatchGeometry
from aunet.data.patches.placement import place_patch
from aunet.data.patches.random_geometry import RandomGeometry

PAPER = RandomGeometry((20, 18, 14), 15.0, 0.3, 0.1, 1.0)
STRONG = RandomGeometry((20, 18, 14), 30.0, 0.3, 0.1, 1.0, 0.3, 0.5)
THICK = RandomGeometry((20, 18, 14), 30.0, 0.3, 0.1, 1.0, 0.3, 0.5, spacing=(0.7, 0.7, 5.0))
FLAT = RandomGeometry((20, 18, 1), 180.0, 0.3, 0.1, 1.0, 0.3, 0.5)
SCAN = (40, 44, 30)


def shown_label(geometry: PatchGeometry, label: np.ndarray, voxel: tuple[int, ...], seed: int) -> torch.Tensor:
    """Return the augmented label (*size) of a patch placed to show ``voxel``; zeros beyond the scan."""
    placement = place_patch(geometry, voxel, label.shape, np.random.default_rng(seed))
    moved = geometry.moved(placement.move)
    offset, size = moved.box
    padded = np.pad(label, 60)
    box = tuple(slice(s + o + 60, s + o + 60 + n) for s, o, n in zip(placement.start, offset, size, strict=True))
    return moved.resample(torch.from_numpy(padded[box]).float()[None], "nearest")[0]


@pytest.mark.parametrize("random_geometry", [PAPER, STRONG, THICK, FLAT], ids=["paper", "strong", "thick", "flat"])
@pytest.mark.parametrize("shape", [SCAN, (15, 60, 9)], ids=["longer than the patch", "shorter along two axes"])
def test_an_organ_of_one_voxel_is_in_every_augmented_patch_drawn_for_it(
    random_geometry: RandomGeometry, shape: tuple[int, ...]
) -> None:
    draw = np.random.default_rng(0)
    corners = list(product(*((0, length - 1) for length in shape)))
    anywhere = [tuple(int(draw.integers(length)) for length in shape) for _ in range(100)]
    for sample, voxel in enumerate([*corners, *anywhere]):
        label = np.zeros(shape, np.uint8)
        label[voxel] = 1
        assert shown_label(random_geometry.draw(0, 0, sample), label, voxel, sample).any(), (sample, voxel)


def test_far_from_the_border_the_voxel_lies_uniformly_in_the_patch() -> None:
    voxel, shape = (100, 100, 100), (200, 200, 200)
    targets = []
    for sample in range(600):
        geometry = STRONG.draw(0, 0, sample)
        placement = place_patch(geometry, voxel, shape, np.random.default_rng(sample))
        targets.append(geometry.moved(placement.move).voxel_at(np.subtract(voxel, placement.start)))
    for axis, (length, places) in enumerate(zip(STRONG.patch_size, np.transpose(targets), strict=True)):
        assert np.abs(places - np.rint(places)).max() < 0.15, axis  # at a voxel; a bend is inverted to a tenth of one
        uniform = stats.uniform(-0.5, length)
        jittered = np.rint(places) + np.random.default_rng(axis).uniform(-0.5, 0.5, len(places))
        assert stats.kstest(jittered, uniform.cdf).pvalue > 1e-3


def test_a_patch_lies_within_a_scan_that_has_room_for_it() -> None:
    shape, draw = (60, 60, 60), np.random.default_rng(1)
    for sample in range(200):
        geometry = PAPER.draw(0, 0, sample)
        voxel = [int(draw.integers(12, length - 12)) for length in shape]
        placement = place_patch(geometry, voxel, shape, np.random.default_rng(sample))
        offset, size = geometry.box
        first = np.add(placement.start, offset)
        assert (first >= -1).all()  # a voxel more for the centre of the chosen one to meet another's
        assert (first + size <= np.array(shape) + 1).all()


def test_a_patch_without_changes_starts_uniformly_where_it_holds_the_voxel_within_the_scan() -> None:
    plain = RandomGeometry((8, 8, 8)).draw(0, 0, 0)
    placements = [place_patch(plain, (2, 10, 27), (30, 12, 30), np.random.default_rng(k)) for k in range(400)]
    starts = np.array([placement.start for placement in placements])
    assert not any(placement.move.any() for placement in placements)
    for axis, allowed in enumerate([range(3), range(3, 5), range(20, 23)]):
        counts = np.bincount(starts[:, axis], minlength=30)[list(allowed)]
        assert counts.sum() == 400
        assert stats.chisquare(counts).pvalue > 1e-3


def test_a_scan_shorter_than_the_patch_lies_in_its_middle() -> None:
    plain = RandomGeometry((8, 9, 16)).draw(0, 0, 0)
    assert place_patch(plain, (3, 0, 14), (5, 4, 15), np.random.default_rng(0)).start == [-1, -2, 0]


def test_the_same_draw_gives_the_same_place() -> None:
    geometry = STRONG.draw(0, 0, 3)
    first, second = (place_patch(geometry, (3, 40, 7), SCAN, np.random.default_rng(5)) for _ in range(2))
    assert first.start == second.start
    assert np.array_equal(first.move, second.move)
