import numpy as np
import pytest
from scipy import stats

from aunet.evaluation.false_claims import false_claim_probability


def test_the_papers_claims_carry_the_risks_that_were_published_for_them() -> None:
    """Attention U-Net against the 10.4 M U-Net on CT-150's pancreas, and against the U-Net on CT-82."""
    assert false_claim_probability((0.840, 0.087), (0.825, 0.104), 30) == pytest.approx(0.20, abs=0.005)
    assert false_claim_probability((0.821, 0.057), (0.815, 0.068), 21) == pytest.approx(0.33, abs=0.005)


def test_the_probability_is_half_the_p_of_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    worse = random.normal(0.80, 0.1, 25)
    better = worse + random.normal(0.01, 0.05, 25)
    reported = [(float(scores.mean()), float(scores.std(ddof=1))) for scores in (better, worse)]
    correlation = float(np.corrcoef(better, worse)[0, 1])

    expected = stats.ttest_rel(better, worse, alternative="greater").pvalue
    assert false_claim_probability(*reported, 25, correlation) == pytest.approx(expected)


def test_a_direct_simulation_finds_the_share_of_false_claims() -> None:
    """Of many true differences, evenly spread, those that lead to one reported table are the worse model's so often."""
    random, patients, sd = np.random.default_rng(0), 30, 0.1
    truths = random.uniform(-0.3, 0.3, 400_000)
    scale = sd / np.sqrt(patients)
    observed = truths + random.normal(0, scale, truths.size)
    sds = sd * np.sqrt(random.chisquare(patients - 1, truths.size) / (patients - 1))
    is_such = (np.abs(observed - 0.015) < 0.002) & (np.abs(sds - sd) < 0.02)

    # Both sds 0.1 at a correlation of 0.5 have differences of sd 0.1.
    claimed = false_claim_probability((0.015, 0.1), (0.0, 0.1), patients)
    assert is_such.sum() > 2000
    assert np.mean(truths[is_such] <= 0) == pytest.approx(claimed, abs=0.025)


def test_equal_means_are_a_coin_and_equal_scores_too() -> None:
    assert false_claim_probability((0.8, 0.1), (0.8, 0.2), 30) == pytest.approx(0.5)
    assert false_claim_probability((0.8, 0.1), (0.8, 0.1), 30, correlation=1) == 0.5
    assert false_claim_probability((0.9, 0.1), (0.8, 0.1), 30, correlation=1) == 0
