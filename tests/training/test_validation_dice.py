"""Which classes the Dice of a validation speaks of."""

from math import isnan, nan

import numpy as np
import pytest

from aunet.classes import Labels
from aunet.training.validation_dice import CaseDice, defined_mean, means_by_class, score_dice


def test_a_case_is_scored_by_its_voxels() -> None:
    """Of class 1 one voxel of two is found and one too many: 2 x 1 / (2 + 2)."""
    reference, prediction = np.array([1, 1, 0, 0, 0]), np.array([1, 0, 1, 2, 0])
    scores = score_dice(prediction, reference, [True, True, True, True, False], Labels(("background", *"abcd")))
    assert scores.values == pytest.approx((0.5, 0.0, nan, nan), nan_ok=True)
    assert scores.present == (True, False, False, False)


def test_a_class_that_no_reference_has_is_undefined_whatever_is_predicted() -> None:
    """In one epoch it is predicted in a case, in another nowhere: neither may decide which epoch is better."""
    predicted = {"a": CaseDice((0.8, 0.0), (True, False)), "b": CaseDice((0.6, nan), (True, False))}
    silent = {"a": CaseDice((0.8, nan), (True, False)), "b": CaseDice((0.6, nan), (True, False))}
    for cases in (predicted, silent):
        means = means_by_class(cases)
        assert means[0] == pytest.approx(0.7)
        assert isnan(means[1])
        assert defined_mean(means) == pytest.approx(0.7)


def test_false_positives_count_as_0_in_a_case_without_a_class_that_another_case_has() -> None:
    cases = {"a": CaseDice((0.9,), (True,)), "b": CaseDice((0.0,), (False,)), "c": CaseDice((nan,), (False,))}
    assert means_by_class(cases) == pytest.approx([0.45])


def test_without_any_class_in_any_reference_nothing_is_defined() -> None:
    assert isnan(defined_mean(means_by_class({"a": CaseDice((0.0, nan), (False, False))})))


def test_a_class_that_a_case_does_not_annotate_is_neither_scored_nor_present() -> None:
    scores = score_dice(np.array([1, 0]), np.array([1, 0]), [True, False], Labels(("background", "organ")))
    assert isnan(scores.values[0])
    assert scores.present == (False,)
