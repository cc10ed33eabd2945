import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from aunet.evaluation.effects import TIDY
from aunet.evaluation.ranking import ranking_stability


def table(**arms: NDArray[np.float64]) -> pd.DataFrame:
    rows = [
        ("dice", "common cases", "pancreas", arm, seed, 0, f"case {case}", f"case {case}", value)
        for arm, scores in arms.items()
        for (seed, case), value in np.ndenumerate(scores)
    ]
    return pd.DataFrame(rows, columns=list(TIDY))


def test_arms_that_are_far_apart_keep_their_ranks() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 10)) / 100
    found = ranking_stability(table(low=scores, high=scores + 1), ["low", "high"], is_lower_better=False)

    assert found["rank"].tolist() == [2, 1]
    assert found["share_first"].tolist() == [0, 1]
    assert found["kendall"].tolist() == [1, 1]
    assert found[["rank_low", "rank_high"]].to_numpy().tolist() == [[2, 2], [1, 1]]


def test_lower_distances_rank_first() -> None:
    found = ranking_stability(table(near=np.full((1, 4), 1.0), far=np.full((1, 4), 2.0)), ["near", "far"], True)
    assert found["rank"].tolist() == [1, 2]


def test_one_training_and_two_arms_are_the_sign_of_a_bootstrapped_mean() -> None:
    """All 4^4 draws of four patients, by hand, against the resamples."""
    difference = np.array([0.5, -0.1, -0.1, -0.1])
    draws = np.stack(np.meshgrid(*[range(4)] * 4), axis=-1).reshape(-1, 4)
    expected = np.mean(difference[draws].mean(axis=1) > 1e-12)
    arms = table(first=np.zeros((1, 4)), second=difference[None])
    found = ranking_stability(arms, ["first", "second"], is_lower_better=False, resamples=4_000)

    assert found["share_first"][1] == pytest.approx(expected, abs=0.025)


def test_trainings_that_differ_shake_a_ranking_that_patients_do_not() -> None:
    seeds = np.array([[0.0], [1.0]]) + np.zeros((2, 6))
    found = ranking_stability(table(a=seeds, b=seeds + 0.1), ["a", "b"], is_lower_better=False)

    # a wins if it draws its better seed more often than b: P = 5/16.
    assert found["share_first"][0] == pytest.approx(5 / 16, abs=0.05)


def test_an_arm_without_scores_has_no_rank() -> None:
    found = ranking_stability(table(a=np.zeros((1, 3))), ["a", "failed"], is_lower_better=False)
    assert found["rank"][0] == 1
    assert math.isnan(found["rank"][1])
