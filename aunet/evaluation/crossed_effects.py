"""Inference on the mean difference of two models, each trained several times and tested on the same patients.

A score is the sum of a model's mean, a patient's difficulty, a patient's own difference between the models, an effect
of the training (its seed), which all patients share, and a rest. The mean difference therefore varies with the patients
drawn and with the trainings drawn, and its variance is estimated from mean squares, as in studies of several readers
and cases (Obuchowski and Rockette 1995; the trainings, like readers, are nested in the models):

    V = patients + max(trainings - rest, 0),

the rest being in both of the others. The two or three degrees of freedom of the trainings, not those of the patients,
limit what few seeds can show. Two approximations of the distribution of D / sqrt(V) exist: Satterthwaite's t (1946),
which rejects too often if V happens to be estimated small, and the mixture of Behrens and Fisher, which rejects too
seldom. The p value is the mean of both, which keeps 5 % in simulations (tests/evaluation/test_crossed_effects_*.py);
permuting the seeds instead could not reach p < 0.05 below four seeds per model. Skewness of the patients' differences
is corrected by Hall's transformation (1992). The interval holds the differences that the test does not reject.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
PValue = Callable[[float], float]

# Nodes per distribution of the Behrens-Fisher mixture; 4 times as many change p by less than 0.0005.
_NODES = 48
# A variance this far below the squared mean difference is rounding.
_NO_VARIANCE = 1e-24


@dataclass(frozen=True)
class FoldScores:
    """Scores of two models on the patients of one fold, one row per training: (trainings, patients)."""

    baseline: Array
    other: Array

    @property
    def differences(self) -> Array:
        """Return the difference of each patient, over the means of the trainings: (patients,)."""
        return self.other.mean(axis=0) - self.baseline.mean(axis=0)


@dataclass(frozen=True)
class Component:
    """A part of the variance of the mean difference, with its degrees of freedom (0 if it cannot be estimated)."""

    variance: float
    degrees: float


@dataclass(frozen=True)
class MeanDifference:
    """The mean difference D of two models over patients, and the parts of its variance.

    ``patients`` includes the rest once, ``trainings`` includes it once more; ``rest`` is its share of ``trainings``.
    ``third_moment`` is that of D by the patients. ``patient_sd``, ``training_sd`` and ``rest_sd`` describe a
    patient's difference between the models, a training's mean, and a patient in a training.
    """

    value: float
    patients: Component
    trainings: Component
    rest: Component
    third_moment: float
    patient_sd: float
    training_sd: float
    rest_sd: float

    @property
    def speaks_of_models(self) -> bool:
        """Return whether the variance between trainings is part of the estimate."""
        return self.trainings.degrees > 0

    @cached_property
    def variance(self) -> float:
        """Return the variance V of D."""
        return self.patients.variance + self._excess

    @property
    def _excess(self) -> float:
        return max(self.trainings.variance - self.rest.variance, 0.0)

    def p_value(self, null: float = 0.0) -> float:
        """Return the two-sided p of the hypothesis that the true difference is ``null``; NaN without a variance."""
        if self.patients.degrees < 1:
            return math.nan
        if self.variance <= _NO_VARIANCE * max(1.0, self.value**2):
            return float(math.isclose(self.value, null, abs_tol=1e-12))
        return self._tail(abs(self._transformed((self.value - null) / math.sqrt(self.variance))))

    def interval(self, level: float = 0.05) -> tuple[float, float]:
        """Return the differences that the test does not reject at ``level``; NaN without a variance."""
        if self.patients.degrees < 1:
            return math.nan, math.nan
        if self.variance <= _NO_VARIANCE * max(1.0, self.value**2):
            return self.value, self.value
        from scipy import optimize  # takes a quarter of a second

        highest = 10.0
        while self._tail(highest) > level:
            highest *= 10
        critical: Any = optimize.brentq(lambda t: self._tail(t) - level, 0, highest, xtol=1e-10)
        low, high = (self.value - math.sqrt(self.variance) * self._inverse(side * critical) for side in (1, -1))
        return low, high

    def equivalence_p_value(self, margin: float) -> float:
        """Return the p of two one-sided tests (Schuirmann 1987) that the true difference is within ± ``margin``."""
        return two_one_sided_tests(self.value, margin, self.p_value)

    @property
    def _skewness(self) -> float:
        return self.third_moment / self.variance**1.5

    def _transformed(self, t: float) -> float:
        """Return Hall's cubic of ``t``, which increases everywhere."""
        skewness = self._skewness
        bent = skewness * t / 3
        return t * (1 + bent + bent * bent / 3) + skewness / 6

    def _inverse(self, transformed: float) -> float:
        skewness = self._skewness
        if abs(skewness) < 1e-8:
            return transformed
        return float(3 / skewness * (np.cbrt(1 + skewness * (transformed - skewness / 6)) - 1))

    def _tail(self, t: float) -> float:
        """Return the mean of the two-sided tails of Satterthwaite and of Behrens and Fisher beyond ``t`` >= 0."""
        parts = (self.patients, self.trainings, self.rest)
        precision = sum(part.variance**2 / part.degrees for part in parts if part.degrees > 0)
        satterthwaite = 2 * special.stdtr(self.variance**2 / precision, -t)
        if self._excess == 0:
            return float(satterthwaite)
        mixed = 2 * special.ndtr(-t * self._mixture).mean()
        return float(satterthwaite + mixed) / 2

    @cached_property
    def _mixture(self) -> Array:
        """Return sqrt(V) over draws of it: each part times its degrees over a chi-squared quantile, all pairs."""
        quantiles = (np.arange(_NODES) + 0.5) / _NODES
        patients, trainings = (
            variance * degrees / (2 * special.gammaincinv(degrees / 2, quantiles))  # of chi-squared
            for variance, degrees in (
                (self.patients.variance, self.patients.degrees),
                (self._excess, self.trainings.degrees),
            )
        )
        draws: Array = np.sqrt(self.variance / np.add.outer(patients, trainings)).ravel()
        return draws


def two_one_sided_tests(value: float, margin: float, p_value: PValue) -> float:
    """Return the larger p of the two one-sided tests that the true difference lies above -margin, and below margin.

    Args:
        value: the estimated difference.
        margin: above 0.
        p_value: returns the two-sided p of a hypothetical difference.
    """
    below = p_value(margin) / 2
    above = p_value(-margin) / 2
    return max(below if value < margin else 1 - below, above if value > -margin else 1 - above)


def mean_difference(folds: Sequence[FoldScores]) -> MeanDifference:
    """Return the mean over all patients of other minus baseline, with the parts of its variance.

    A training is of one fold. Its variance is pooled over both models and all folds. With one training per model and
    fold, the means of the folds, each of its own patients and trainings, are the independent values; with one fold as
    well, trainings have no degrees of freedom and the variance is that over patients alone.
    """
    counts = np.array([fold.differences.size for fold in folds], dtype=np.float64)
    weights = counts / counts.sum()
    differences = [fold.differences for fold in folds]
    value = float(np.concatenate(differences).mean())
    if len(folds) > 1 and all(len(fold.baseline) == len(fold.other) == 1 for fold in folds):
        return _by_folds(value, differences, weights)
    patients, third, patient_degrees = _patient_part(differences)
    runs, rest, run_degrees, rest_degrees, per_patient = _training_parts(folds)
    # Var(D) by the trainings is this factor times the variance of one training's mean.
    pairs = [1 / len(fold.baseline) + 1 / len(fold.other) for fold in folds]
    factor = float(np.sum(weights**2 * pairs))
    training_variance = max(runs - rest * per_patient, 0.0)
    return MeanDifference(
        value,
        Component(patients / counts.sum(), patient_degrees),
        Component(factor * runs, run_degrees),
        Component(factor * rest * per_patient, rest_degrees),
        third / counts.sum() ** 2,
        math.sqrt(max(patients - rest * float(np.dot(weights, pairs)), 0.0)) if patient_degrees else math.nan,
        math.sqrt(training_variance) if run_degrees else math.nan,
        math.sqrt(rest) if rest_degrees else math.nan,
    )


def _by_folds(value: float, differences: Sequence[Array], weights: Array) -> MeanDifference:
    count = len(differences)
    means = np.array([of_fold.mean() for of_fold in differences])
    variance = float(np.sum((weights * (means - value)) ** 2)) * count / (count - 1)
    within, _, within_degrees = _patient_part(differences)
    patient_sd = math.sqrt(within) if within_degrees else math.nan
    nothing = Component(0.0, 0.0)
    # All of the variance has the degrees of the folds; it includes that between trainings.
    of_folds = Component(variance, count - 1)
    return MeanDifference(value, of_folds, Component(0.0, count - 1), nothing, 0.0, patient_sd, math.nan, math.nan)


def _patient_part(differences: Sequence[Array]) -> tuple[float, float, float]:
    """Return variance and third central moment of the differences within folds, unbiased, and the degrees."""
    centred = np.concatenate([of_fold - of_fold.mean() for of_fold in differences])
    count, degrees = centred.size, centred.size - len(differences)
    if degrees < 1:
        return 0.0, 0.0, 0.0
    third = float((centred**3).sum()) * count / (degrees * (degrees - 1)) if degrees > 1 else 0.0
    return float((centred**2).sum()) / degrees, third, float(degrees)


def _training_parts(folds: Sequence[FoldScores]) -> tuple[float, float, float, float, float]:
    """Return the variance of the trainings' means and of the rest, their degrees, and the rest's share in a mean."""
    run_square = rest_square = run_degrees = rest_degrees = share = 0.0
    for fold in folds:
        for scores in (fold.baseline, fold.other):
            trainings, patients = scores.shape
            means = scores.mean(axis=1)
            run_square += float(((means - means.mean()) ** 2).sum())
            rest = scores - means[:, None] - scores.mean(axis=0) + scores.mean()
            rest_square += float((rest**2).sum())
            run_degrees += trainings - 1
            rest_degrees += (trainings - 1) * (patients - 1)
            share += (trainings - 1) / patients
    return (
        run_square / run_degrees if run_degrees else 0.0,
        rest_square / rest_degrees if rest_degrees else 0.0,
        run_degrees,
        rest_degrees,
        share / run_degrees if run_degrees else 0.0,
    )
