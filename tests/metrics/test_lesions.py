"""Lesions are counted as connected components, with a table of every undefined case."""

import math

import numpy as np
import pytest

from aunet.metrics.lesions import LesionDetection


def spots(*places: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros((12, 12, 4), dtype=bool)
    for x, y, z in places:
        mask[x : x + 2, y : y + 2, z] = True
    return mask


def test_parts_count_alike_whatever_their_size() -> None:
    reference, prediction = spots((0, 0, 0), (4, 4, 0), (8, 8, 0)), spots((1, 1, 0), (4, 8, 0))
    prediction[8:, :3, 2:] = True

    assert LesionDetection.of_masks(prediction, reference).recall == pytest.approx(1 / 3)
    assert LesionDetection.of_masks(prediction, reference).precision == pytest.approx(1 / 3)
    assert LesionDetection.of_masks(prediction, reference).f1 == pytest.approx(1 / 3)


def test_voxels_that_touch_at_a_corner_are_one_part() -> None:
    reference = np.zeros((4, 4, 4), dtype=bool)
    reference[0, 0, 0] = reference[1, 1, 1] = True
    assert LesionDetection.of_masks(reference[::1], reference).recall == 1
    assert LesionDetection.of_masks(np.zeros_like(reference), reference).recall == 0
    half = reference.copy()
    half[0, 0, 0] = False
    assert LesionDetection.of_masks(half, reference).recall == 1


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        (spots(), spots(), (math.nan, math.nan, math.nan)),
        (spots((0, 0, 0)), spots(), (math.nan, 0.0, 0.0)),
        (spots(), spots((0, 0, 0)), (0.0, math.nan, 0.0)),
        (spots((0, 0, 0)), spots((8, 8, 0)), (0.0, 0.0, 0.0)),
    ],
    ids=["neither", "invented", "missed", "misplaced"],
)
def test_undefined_values_follow_the_convention(
    prediction: np.ndarray, reference: np.ndarray, expected: tuple[float, float, float]
) -> None:
    found = LesionDetection.of_masks(prediction, reference)
    np.testing.assert_array_equal([found.recall, found.precision, found.f1], expected)
