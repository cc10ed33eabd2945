"""The voxels kept of each class, against a search of the whole label."""

import numpy as np

from aunet.data.store.stored_case import POSITIONS_PER_CLASS, class_positions


def label() -> np.ndarray:
    drawn = np.random.default_rng(3).choice(4, p=[0.9, 0.05, 0.05, 0.0], size=(30, 25, 20))
    return drawn.astype(np.uint8)


def test_each_kept_voxel_is_of_its_class_and_no_voxel_is_kept_twice() -> None:
    for index, voxels in enumerate(class_positions(label(), 4)):
        assert set(label()[tuple(voxels.T)]) <= {index}
        assert len(np.unique(voxels, axis=0)) == len(voxels)


def test_of_a_small_class_every_voxel_is_kept_and_of_a_large_one_4096() -> None:
    background, first, _, absent = class_positions(label(), 4)
    assert np.array_equal(first, np.argwhere(label() == 1))
    assert len(background) == POSITIONS_PER_CLASS < (label() == 0).sum()
    assert absent.shape == (0, 3)


def test_voxels_are_kept_from_everywhere_alike() -> None:
    background = class_positions(label(), 4)[0]
    per_slab = np.bincount(background[:, 0], minlength=30)
    expected = len(background) / 30
    assert np.all(np.abs(per_slab - expected) < 5 * np.sqrt(expected))


def test_pictures_have_positions_of_two_axes() -> None:
    picture = label()[0]
    assert np.array_equal(class_positions(picture, 4)[1], np.argwhere(picture == 1))
