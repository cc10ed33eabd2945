"""Scores of one pair of label maps: a row per class."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aunet.classes import IGNORED, Labels
from aunet.metrics.bounding_boxes import boxes_of_classes, joint_box
from aunet.metrics.calibration import Calibration
from aunet.metrics.case_scores import columns_of, recorded_metrics
from aunet.metrics.mask_pair import DEFAULT_TOLERANCE_MM, MaskPair
from aunet.metrics.metric import Extra
from aunet.metrics.overlap import Mask
from aunet.metrics.registry import METRICS

# Class -> its values in a label map.
ClassValues = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Scoring:
    """The choice of scores beside the usual ones.

    Attributes:
        tolerances: of surfaces (mm), by class name.
        tolerance_mm: of all other classes.
        has_lesions: whether the detection of lesions is scored.
        has_meshes: whether the distance of meshes is scored.
        has_objects: whether label maps number the objects of one class, whose values are then all 1.
        probabilities: folder of the probabilities, whose calibration is scored; see ``probability_files``.
    """

    tolerances: Mapping[str, float] = field(default_factory=dict[str, float])
    tolerance_mm: float = DEFAULT_TOLERANCE_MM
    has_lesions: bool = False
    has_meshes: bool = False
    has_objects: bool = False
    probabilities: Path | None = None

    @property
    def extras(self) -> frozenset[Extra]:
        """Return which metrics are computed on request."""
        wanted: dict[Extra, bool] = {
            "lesions": self.has_lesions,
            "mesh": self.has_meshes,
            "probabilities": self.probabilities is not None,
        }
        return frozenset(extra for extra, is_wanted in wanted.items() if is_wanted)

    def tolerance_of(self, name: str) -> float:
        """Return the tolerance (mm) of a class."""
        return self.tolerances.get(name, self.tolerance_mm)


USUAL_SCORING = Scoring()
NOT_MEASURED: Mapping[str, Calibration] = {}


def score_case(
    case_id: str,
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    labels: Labels,
    annotated: frozenset[int] | None = None,
    patient: str = "",
    scoring: Scoring = USUAL_SCORING,
) -> pd.DataFrame:
    """Return one row per foreground class of ``labels``, with the columns ``columns_of``.

    ``CONVENTION`` says which values of missing classes are undefined.

    Args:
        case_id: Name of the case.
        prediction: Integer label map (H, W, D).
        reference: Integer label map on the same grid; voxels that it ignores are background in both.
        spacing: Voxel size in mm along each axis.
        labels: Classes by integer.
        annotated: Classes that the reference annotates; None means all. Of the others only the predicted volume is
            known.
        patient: Patient of the case; the case itself if empty.
        scoring: Tolerances, and what is scored.
    """
    values_of_class = {name: labels.values_of(index) for index, name in labels.foreground}
    unknown = [name for index, name in labels.foreground if annotated is not None and index not in annotated]
    return score_annotated(case_id, prediction, reference, spacing, values_of_class, unknown, patient, scoring)


def score_annotated(
    case_id: str,
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    values_of_class: ClassValues,
    unknown: Sequence[str],
    patient: str = "",
    scoring: Scoring = USUAL_SCORING,
    calibrations: Mapping[str, Calibration] = NOT_MEASURED,
) -> pd.DataFrame:
    """Score as ``score_case`` does, for classes by their values; of ``unknown`` ones only the prediction is known.

    ``calibrations`` are those of the classes' probabilities, by name.
    """
    is_ignored = reference == IGNORED
    if is_ignored.any():
        prediction, reference = np.where(is_ignored, 0, prediction), np.where(is_ignored, 0, reference)
    scores = score_values(case_id, prediction, reference, spacing, values_of_class, patient, scoring, calibrations)
    scores.loc[scores["class"].isin(unknown), [*recorded_metrics(scores), "reference_ml"]] = float("nan")
    return scores


def score_values(
    case_id: str,
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    values_of_class: ClassValues,
    patient: str = "",
    scoring: Scoring = USUAL_SCORING,
    calibrations: Mapping[str, Calibration] = NOT_MEASURED,
) -> pd.DataFrame:
    """Score as ``score_case`` does, for classes of any positive integers in the label maps, which may share some."""
    assert prediction.shape == reference.shape, f"{case_id}: {prediction.shape} and {reference.shape}"
    values = list(values_of_class.values())
    boxes = zip(boxes_of_classes(prediction, values), boxes_of_classes(reference, values), strict=True)
    case = {"case_id": case_id, "patient": patient or case_id, "diagonal_mm": scan_diagonal(reference.shape, spacing)}
    rows: list[dict[str, str | float]] = []
    for (name, of_class), both in zip(values_of_class.items(), boxes, strict=True):
        box = joint_box(*both, reference.shape)
        pair = MaskPair(
            _mask(prediction[box], of_class),
            _mask(reference[box], of_class),
            spacing,
            scoring.tolerance_of(name),
            calibrations.get(name),
        )
        rows.append(case | {"class": name} | _score_pair(pair, scoring.extras))
    return pd.DataFrame(rows, columns=columns_of(scoring.extras))


def scan_diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Return the diagonal in mm of a scan's field of view; axes of length 1 are dropped, as in surface distances."""
    return math.hypot(*(length * side for length, side in zip(shape, spacing, strict=True) if length > 1))


def _mask(label_map: NDArray[np.integer], values: Sequence[int]) -> Mask:
    return label_map == values[0] if len(values) == 1 else np.isin(label_map, values)


def _score_pair(pair: MaskPair, extras: Collection[Extra]) -> dict[str, float]:
    chosen = [metric for metric in METRICS if metric.extra is None or metric.extra in extras]
    values = {metric.key: metric.function(pair) for metric in chosen}
    volumes = {"reference_ml": pair.reference_ml, "predicted_ml": pair.predicted_ml}
    return values | volumes | {"tolerance_mm": pair.tolerance_mm}
