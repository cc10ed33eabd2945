"""Classes that exclude each other, and regions that may overlap."""

import numpy as np
import pytest
import torch
from nested_regions import LABELS

from aunet.classes import Labels
from aunet.errors import UserError

PLAIN = Labels(("background", "a", "b"))


def test_the_mask_of_a_region_holds_all_of_its_values() -> None:
    label = np.array([0, 1, 2, 3, 255])
    masks = [LABELS.mask(label, index).tolist() for index, _ in LABELS.foreground]
    assert masks == [[False, True, True, True, False], [False, False, True, True, False], [False] * 3 + [True, False]]
    assert LABELS.mask(torch.from_numpy(label), 2).tolist() == masks[1]
    assert PLAIN.mask(label, 2).tolist() == [False, False, True, False, False]


def test_regions_have_outputs_without_a_background() -> None:
    assert (LABELS.outputs, LABELS.first_output) == (("whole", "core", "enhancing"), 1)
    assert (PLAIN.outputs, PLAIN.first_output) == (("background", "a", "b"), 0)


def test_a_voxel_that_leaves_a_region_stays_in_those_around_it() -> None:
    assert [LABELS.value_without(value, index=2) for value in range(4)] == [0, 1, 1, 1]
    assert [LABELS.value_without(value, index=1) for value in range(4)] == [0, 0, 0, 0]
    assert PLAIN.value_without(2, index=2) == 0


def test_only_voxels_of_regions_around_it_may_join_a_region() -> None:
    assert [LABELS.values_around(index) for index in (1, 2, 3)] == [(0,), (0, 1), (0, 1, 2)]
    assert PLAIN.values_around(2) == (0,)
    halves = Labels(("background", "left", "right"), ((1,), (2,)))
    assert halves.values_around(2) == (0,)


@pytest.mark.parametrize("regions", [((1, 2),), ((1, 2), (1, 2)), ((2,), (2,)), ((1, 3), (2,))])
def test_regions_that_painting_would_lose_are_refused(regions: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(UserError, match="each must hold its own number"):
        Labels(("background", "a", "b"), regions)


def test_an_exchange_of_sides_keeps_regions_that_are_alike_on_both() -> None:
    names = ("background", "left_kidney", "right_kidney", "left_tumour", "right_tumour")
    alike = Labels(names, ((1, 3), (2, 4), (3,), (4,)))
    unlike = Labels(names, ((1, 3), (2,), (3,), (4,)))
    assert alike.is_kept_by([(1, 2), (3, 4)])
    assert not unlike.is_kept_by([(1, 2), (3, 4)])
    assert not alike.is_kept_by([(1, 2)])
    assert Labels(names).is_kept_by([(1, 2), (3, 4)])
