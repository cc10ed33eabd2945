"""Statistics of paired score differences: whether one model is better than another on the same patients."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aunet.evaluation.sign_flip_test import FEWEST, KnownInferences, infer_mean


@dataclass(frozen=True)
class PairedDifference:
    """The difference of two scores over the patients for which both are defined.

    A patient's difference is the mean over the patient's cases, because cases of one patient are not independent.
    ``mean``, its 95 % interval ``low`` to ``high`` and ``p_value`` refer to the mean over patients (see
    ``sign_flip_test``); ``sd`` and ``median`` describe the patients; ``wilcoxon_p_value`` is that of the signed-rank
    test, which tests another quantity. ``cases`` counts the cases included, ``undefined`` those left out. Interval and
    both p are NaN with fewer than 6 patients, sd with fewer than 2, everything with none.
    """

    mean: float
    sd: float
    median: float
    low: float
    high: float
    p_value: float
    wilcoxon_p_value: float
    patients: int
    cases: int
    undefined: int


def paired_difference(
    baseline: ArrayLike,
    other: ArrayLike,
    patients: Sequence[Hashable] | None = None,
    known: KnownInferences | None = None,
) -> PairedDifference:
    """Return the statistics of ``other - baseline``, two lists of scores (cases,) of the same cases in the same order.

    A case with NaN on either side is left out and counted as undefined. Results are reproducible, whatever the order
    of the cases.

    Args:
        baseline: scores to subtract.
        other: scores to subtract from.
        patients: the patient of each case; None treats each case as a patient.
        known: inferences that need not be computed again.
    """
    differences = np.asarray(other, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    assert differences.ndim == 1, f"scores of shape {differences.shape}"
    is_defined = ~np.isnan(differences)
    names = range(len(differences)) if patients is None else patients
    means = patient_means(differences, names)
    means = means[np.lexsort((means, np.abs(means)))]  # so that drawn signs meet the same values in any order of cases
    inference = infer_mean(means) if known is None else known.infer_mean(means)
    return PairedDifference(
        mean=float(means.mean()) if len(means) else math.nan,
        sd=float(means.std(ddof=1)) if len(means) > 1 else math.nan,
        median=float(np.median(means)) if len(means) else math.nan,
        low=inference.low,
        high=inference.high,
        p_value=inference.p_value,
        wilcoxon_p_value=signed_rank_p_value(means) if len(means) >= FEWEST else math.nan,
        patients=len(means),
        cases=int(is_defined.sum()),
        undefined=int((~is_defined).sum()),
    )


def patient_means(values: ArrayLike, patients: Sequence[Hashable]) -> NDArray[np.float64]:
    """Return the mean of the defined ``values`` (cases,) of each patient; a patient without any is left out.

    Examples:
        >>> patient_means([0.25, 0.75, 0.9], ["Ada", "Ada", "Bo"]).tolist()
        [0.5, 0.9]
    """
    numbers = np.asarray(values, dtype=np.float64)
    is_defined = ~np.isnan(numbers)
    number_of_patient = {patient: number for number, patient in enumerate(dict.fromkeys(patients))}
    of_cases = np.array([number_of_patient[patient] for patient in patients], dtype=np.intp)[is_defined]
    counts = np.bincount(of_cases, minlength=len(number_of_patient))
    sums = np.bincount(of_cases, numbers[is_defined], minlength=len(number_of_patient))
    return sums[counts > 0] / counts[counts > 0]


def signed_rank_p_value(differences: NDArray[np.float64]) -> float:
    """Return the two-sided Wilcoxon signed-rank p, zeros dropped: 1 if all differences are 0, NaN if none exist."""
    if not len(differences):
        return math.nan
    if not np.any(differences):
        return 1.0
    from scipy import stats  # takes half a second

    result: Any = stats.wilcoxon(differences, zero_method="wilcox")
    return float(result.pvalue)
