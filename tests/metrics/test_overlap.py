"""Overlap ratios against counts made by hand and MONAI's metrics."""

import math

import numpy as np
import pytest
import torch
from monai.metrics import ConfusionMatrixMetric, DiceMetric

from aunet.metrics.overlap import dice, precision, recall


def cube(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[start:stop, start:stop, start:stop] = True
    return mask


def test_shifted_cubes_score_as_counted_by_hand() -> None:
    prediction, reference = cube(2, 6), cube(3, 9)  # 64 and 216 voxels, 27 in both

    assert dice(prediction, reference) == pytest.approx(2 * 27 / (64 + 216))
    assert precision(prediction, reference) == pytest.approx(27 / 64)
    assert recall(prediction, reference) == pytest.approx(27 / 216)


def test_equal_masks_score_one() -> None:
    assert dice(cube(1, 5), cube(1, 5)) == precision(cube(1, 5), cube(1, 5)) == recall(cube(1, 5), cube(1, 5)) == 1


def test_a_missed_structure_has_dice_and_recall_zero_and_no_precision() -> None:
    missed, reference = cube(0, 0), cube(1, 5)

    assert dice(missed, reference) == recall(missed, reference) == 0
    assert math.isnan(precision(missed, reference))


def test_an_invented_structure_has_dice_and_precision_zero_and_no_recall() -> None:
    prediction, absent = cube(1, 5), cube(0, 0)

    assert dice(prediction, absent) == precision(prediction, absent) == 0
    assert math.isnan(recall(prediction, absent))


def test_a_structure_in_neither_mask_has_no_score_at_all() -> None:
    assert all(math.isnan(metric(cube(0, 0), cube(0, 0))) for metric in (dice, precision, recall))


@pytest.mark.parametrize("seed", range(5))
def test_random_masks_score_as_in_monai(seed: int) -> None:
    random = np.random.default_rng(seed)
    prediction, reference = random.random((2, 7, 8, 9)) < random.random((2, 1, 1, 1))
    batch = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
    confusion = ConfusionMatrixMetric(metric_name=["precision", "recall"])
    confusion(*batch)

    expected_precision, expected_recall = (value.item() for value in confusion.aggregate())

    assert dice(prediction, reference) == pytest.approx(DiceMetric()(*batch).item(), rel=1e-6)
    assert precision(prediction, reference) == pytest.approx(expected_precision, rel=1e-6)
    assert recall(prediction, reference) == pytest.approx(expected_recall, rel=1e-6)
