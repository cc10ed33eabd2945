"""The probability that a claim "A is better than B" is false, from the means and sds that a paper reports.

Christodoulou et al. 2025, "False promises in medical imaging AI?" (arXiv 2505.04720), for segmentation. Derivation: the
patients' differences have mean d = mean_A - mean_B and variance s^2 = s_A^2 + s_B^2 - 2 r s_A s_B if both models'
scores correlate by r. Under a flat prior of the true difference and log s, the posterior of the true difference is
d + s / sqrt(n) times Student's t with n - 1 degrees of freedom (Gelman et al., Bayesian Data Analysis, 3.2), so that

    P(true difference <= 0) = t_{n-1}(-d sqrt(n) / s).

The formula knows the chance of the patients only. With several trainings, ``effects`` adds the chance of the training.
"""

import math

from scipy import stats


def false_claim_probability(
    better: tuple[float, float], worse: tuple[float, float], patients: int, correlation: float = 0.5
) -> float:
    """Return the probability that the model with the better mean is not the better one.

    Args:
        better: mean and sd over the patients of the model that is claimed to be better; for a distance, which is
            better if lower, give the negative mean of both.
        worse: mean and sd of the other.
        patients: number of test patients, at least 2.
        correlation: of both models' scores over the patients, the congruence of the paper. 0.5 is cautious: two
            networks on the same scans often reach 0.7 to 0.9, which makes a difference more certain.
    """
    assert patients > 1, f"{patients} patients"
    assert -1 <= correlation <= 1, f"correlation {correlation}"
    difference = better[0] - worse[0]
    variance = better[1] ** 2 + worse[1] ** 2 - 2 * correlation * better[1] * worse[1]
    if variance <= 0:
        return 0.5 if difference == 0 else float(difference < 0)
    return float(stats.t.cdf(-difference * math.sqrt(patients / variance), patients - 1))
