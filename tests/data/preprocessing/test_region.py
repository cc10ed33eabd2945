"""The box around what a coarse network found, in mm along the scan's own axes, and the way back."""

from collections.abc import Sequence
from itertools import product

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from aunet.data.io.volume import Volume
from aunet.data.preprocessing.region import Box, box_around, find_box
from tests.data.geometries import GEOMETRIES

PARALLEL = pytest.mark.parametrize("affine", GEOMETRIES.values(), ids=GEOMETRIES)


def random_label(seed: int, shape: tuple[int, ...] = (14, 12, 9)) -> NDArray[np.uint8]:
    """Return a label map with a few voxels of classes 1, 2 and 3 somewhere."""
    draw = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    low = [draw.integers(0, length) for length in shape]
    high = [draw.integers(at, length) + 1 for at, length in zip(low, shape, strict=True)]
    part = label[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
    part[...] = draw.choice([0, 1, 2, 3], part.shape, p=[0.7, 0.1, 0.1, 0.1])
    label[tuple(low)] = 1
    return label


def voxels_within(label: NDArray[np.uint8], classes: Sequence[int], affine: NDArray[np.float64], margin: float) -> Box:
    """Compare every place along each axis with every voxel found, by the distance in mm between their centres."""
    start, stop = list[int](), list[int]()
    found = np.argwhere(np.isin(label, classes))
    for axis, length in enumerate(label.shape):
        step = affine[:3, axis]
        side = float(np.sqrt(step @ step))
        # The margin begins at the voxel's face and is covered by whole voxels: fewer than one more than fit.
        near = [
            place
            for place in range(length)
            if any(abs(place - int(voxel[axis])) * side < margin + side - 1e-4 * side for voxel in found)
        ]
        start.append(min(near))
        stop.append(max(near) + 1)
    return Box(tuple(start), tuple(stop))


@PARALLEL
@pytest.mark.parametrize("margin", [0.0, 2.0, 3.3, 100.0])
def test_the_box_is_that_of_brute_force_whatever_the_geometry(affine: NDArray[np.float64], margin: float) -> None:
    for seed in range(4):
        label = random_label(seed)
        spacing, present = Volume(label, affine).spacing, np.unique(label[label > 0]).tolist()
        assert box_around(label, present, spacing, margin) == voxels_within(label, present, affine, margin)


@PARALLEL
def test_the_box_reaches_the_margin_on_each_side_but_no_voxel_more(affine: NDArray[np.float64]) -> None:
    label = np.zeros((60, 60, 60), np.uint8)
    label[30, 31, 32] = 1
    spacing, margin = Volume(label, affine).spacing, 7.0
    box = box_around(label, [1], spacing, margin)
    assert box is not None
    for axis, at in enumerate((30, 31, 32)):
        for voxels in (at - box.start[axis], box.stop[axis] - 1 - at):
            assert margin <= voxels * spacing[axis] + 1e-3 < margin + spacing[axis] + 1e-3


def test_rounding_in_a_header_costs_no_voxel() -> None:
    label = np.zeros((80, 3, 3), np.uint8)
    label[40, 1, 1] = 1
    for side in (np.float32(0.7), np.float32(0.8), np.float64(0.7), 0.1 + 0.2):
        box = box_around(label, [1], (float(side), 1.0, 1.0), 10 * round(float(side), 3))
        assert box == Box((30, 0, 0), (51, 3, 3))


def test_each_class_must_be_found_and_others_do_not_matter() -> None:
    label = np.zeros((10, 10, 10), np.uint8)
    assert box_around(label, [1], (1, 1, 1), 1.0) is None
    label[2, 2, 2] = 1
    assert box_around(label, [1], (1, 1, 1), 1.0) == Box((1, 1, 1), (4, 4, 4))
    assert box_around(label, [1, 2], (1, 1, 1), 1.0) is None
    label[7, 7, 7] = 2
    assert box_around(label, [1, 2], (1, 1, 1), 1.0) == Box((1, 1, 1), (9, 9, 9))
    assert box_around(label, [2], (1, 1, 1), 1.0) == Box((6, 6, 6), (9, 9, 9))


@PARALLEL
def test_a_part_lies_at_its_place_in_the_patient_as_nibabel_slices_it(affine: NDArray[np.float64]) -> None:
    array = np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.float32)
    box = Box((2, 0, 3), (7, 5, 6))
    part = box.cut(Volume(array, affine))
    expected = nibabel.Nifti1Image(array, affine).slicer[2:7, 0:5, 3:6]
    assert np.array_equal(part.array, expected.get_fdata(dtype=np.float32))
    assert np.allclose(part.affine, expected.affine, rtol=0, atol=1e-9)


def test_put_back_leaves_background_outside() -> None:
    label = random_label(1)
    box = Box((2, 1, 3), (9, 11, 8))
    whole = box.put_back(box.cut(Volume(label, np.eye(4))).array, label.shape)
    for place in product(*map(range, label.shape)):
        is_inside = all(low <= at < high for low, at, high in zip(box.start, place, box.stop, strict=True))
        assert whole[place] == (label[place] if is_inside else 0)


def test_a_picture_is_cropped_in_its_plane() -> None:
    label = np.zeros((40, 30, 1), np.uint8)
    label[10, 20, 0] = 1
    assert box_around(label, [1], (1, 1, 1), 5.0) == Box((5, 15, 0), (16, 26, 1))


def test_without_a_finder_and_where_it_finds_nothing_the_box_is_the_whole_scan() -> None:
    volume = Volume(np.zeros((4, 5, 6), np.float32), np.diag([-1.0, 1, 1, 1]))

    class Blind:
        def __init__(self) -> None:
            self.missed: list[str] = []

        def find(self, channels: Sequence[Volume]) -> Box | None:
            return None

        def settings(self) -> dict[str, object]:
            return {}

    for finder in (None, Blind()):
        assert find_box(finder, [volume]) == Box((0, 0, 0), (4, 5, 6))
        assert find_box(finder, [volume]).cut(volume) is volume
