"""The fingerprint of a cohort: sizes, voxels, intensities and classes over all cases, as numbers to print and keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aunet.data.cohort.case import Cohort
from aunet.data.preprocessing.image_intensities import PERCENTILES
from aunet.doctor.case_facts import CaseFacts


@dataclass(frozen=True)
class Range:
    """Median and extremes over the cases."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class ClassStatistics:
    """One class over the cases that annotate it: how many have it, its volume in ml, its share of their voxels."""

    name: str
    num_cases: int
    num_annotated: int
    volume_ml: Range | None
    share_of_voxels: float


@dataclass(frozen=True)
class CohortStatistics:
    """Statistics of a cohort; ``spacing`` (mm), ``size`` (voxels) and ``extent`` (mm) are right, anterior, superior.

    Intensities are the ``PERCENTILES`` of whole images and of labelled voxels, each the median over the cases.
    """

    num_cases: int
    spacing: tuple[Range, ...]
    size: tuple[Range, ...]
    extent: tuple[Range, ...]
    image_percentiles: tuple[float, ...]
    foreground_percentiles: tuple[float, ...] | None
    classes: tuple[ClassStatistics, ...]


def cohort_statistics(facts: Sequence[CaseFacts], cohort: Cohort) -> CohortStatistics:
    """Compute the statistics of the measured cases, at least one."""
    spacing, size = np.array([case.spacing for case in facts]), np.array([case.shape for case in facts], float)
    foreground = np.array([row for case in facts if (row := _foreground(case)) is not None])
    return CohortStatistics(
        num_cases=len(facts),
        spacing=_ranges(spacing),
        size=_ranges(size),
        extent=_ranges(spacing * size),
        image_percentiles=_medians(np.array([case.intensities.percentiles for case in facts])),
        foreground_percentiles=_medians(foreground) if foreground.size else None,
        classes=tuple(_class_statistics(facts, cohort, index, name) for index, name in cohort.labels.foreground),
    )


def _class_statistics(facts: Sequence[CaseFacts], cohort: Cohort, index: int, name: str) -> ClassStatistics:
    annotated = {case.case_id for case in cohort.cases if case.annotates(index)}
    speaking = [case for case in facts if case.case_id in annotated]
    having = [case.classes[index] for case in speaking if index in case.classes]
    voxels = sum(int(np.prod(case.shape)) for case in speaking)
    return ClassStatistics(
        name=name,
        num_cases=len(having),
        num_annotated=len(speaking),
        volume_ml=_range(np.array([found.volume_ml for found in having])) if having else None,
        share_of_voxels=sum(found.num_voxels for found in having) / voxels if voxels else 0.0,
    )


def _foreground(case: CaseFacts) -> NDArray[np.float64] | None:
    """Average the percentiles of a case's classes, weighted by their voxels; return None if none are known."""
    known = [found for found in case.classes.values() if np.isfinite(found.median)]
    if not known:
        return None
    weights = [found.num_voxels for found in known]
    return np.average([found.percentiles for found in known], axis=0, weights=weights)


def _ranges(rows: NDArray[np.float64]) -> tuple[Range, ...]:
    return tuple(_range(column) for column in rows.T)


def _range(values: NDArray[np.float64]) -> Range:
    return Range(float(np.median(values)), float(values.min()), float(values.max()))


def _medians(rows: NDArray[np.float64]) -> tuple[float, ...]:
    assert rows.shape[1] == len(PERCENTILES)
    return tuple(float(value) for value in np.median(rows, axis=0))
