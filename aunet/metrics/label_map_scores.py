"""Scores of one pair of label maps: a row per class."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from aunet.classes import IGNORED, Labels
from aunet.metrics.case_scores import COLUMNS, FILE_METRICS
from aunet.metrics.overlap import Mask, dice, precision, recall
from aunet.metrics.surface_distance import average_surface_distance, voxel_surface_distance

# Slices of one box in the array, an axis each.
Box = tuple[slice, ...]


def score_case(
    case_id: str,
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    labels: Labels,
    annotated: frozenset[int] | None = None,
    patient: str = "",
) -> pd.DataFrame:
    """Return one row per foreground class of ``labels``, columns ``COLUMNS``; see ``CONVENTION`` for missing classes.

    Args:
        case_id: Name of the case.
        prediction: Integer label map (H, W, D).
        reference: Integer label map on the same grid; voxels that it ignores are background in both.
        spacing: Voxel size in mm along each axis.
        labels: Classes by integer.
        annotated: Classes that the reference annotates; None means all. Of the others only the predicted volume is
            known.
        patient: Patient of the case; the case itself if empty.
    """
    index_of_class = {name: index for index, name in labels.foreground}
    is_ignored = reference == IGNORED
    if is_ignored.any():
        prediction, reference = np.where(is_ignored, 0, prediction), np.where(is_ignored, 0, reference)
    scores = score_values(case_id, prediction, reference, spacing, index_of_class, patient)
    unknown = [name for name, index in index_of_class.items() if annotated is not None and index not in annotated]
    scores.loc[scores["class"].isin(unknown), [*FILE_METRICS, "reference_ml"]] = float("nan")
    return scores


def score_values(
    case_id: str,
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    value_of_class: Mapping[str, int],
    patient: str = "",
) -> pd.DataFrame:
    """Score as ``score_case`` does, for classes that are any positive integers in the label maps."""
    assert prediction.shape == reference.shape, f"{case_id}: {prediction.shape} and {reference.shape}"
    highest = max(value_of_class.values(), default=1)
    predicted_boxes, reference_boxes = class_boxes(prediction, highest), class_boxes(reference, highest)
    case = {"case_id": case_id, "patient": patient or case_id, "diagonal_mm": scan_diagonal(reference.shape, spacing)}
    rows: list[dict[str, str | float]] = []
    for name, value in value_of_class.items():
        box = _joint_box(predicted_boxes.get(value), reference_boxes.get(value), reference.shape)
        rows.append(case | {"class": name} | _score_masks(prediction[box] == value, reference[box] == value, spacing))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def scan_diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Return the diagonal in mm of a scan's field of view; axes of length 1 are dropped, as in surface distances."""
    return math.hypot(*(length * side for length, side in zip(shape, spacing, strict=True) if length > 1))


def class_boxes(label_map: NDArray[np.integer], highest: int = 0) -> dict[int, Box]:
    """Return the bounding box of each positive value in ``label_map``, up to ``highest`` (0: up to its maximum)."""
    # SciPy walks in C order, which is seven times slower for the Fortran order of NIfTI voxels.
    is_reversed = not label_map.flags.c_contiguous
    found = ndimage.find_objects(label_map.T if is_reversed else label_map, max_label=highest)
    boxes = {value: box for value, box in enumerate(found, start=1) if box is not None}
    return {value: box[::-1] if is_reversed else box for value, box in boxes.items()}


def _score_masks(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
    voxel_ml = math.prod(spacing) / 1000
    return {
        "dice": dice(prediction, reference),
        "precision": precision(prediction, reference),
        "recall": recall(prediction, reference),
        "assd_mm": average_surface_distance(prediction, reference, spacing),
        "voxel_assd_mm": voxel_surface_distance(prediction, reference, spacing),
        "reference_ml": np.count_nonzero(reference) * voxel_ml,
        "predicted_ml": np.count_nonzero(prediction) * voxel_ml,
    }


def _joint_box(first: Box | None, second: Box | None, shape: Sequence[int]) -> Box:
    """Return the box of both, grown by a voxel within the scan, so that masks reach its edge only at the scan's."""
    if (found := first or second) is None:
        return (slice(0, 0),) * len(shape)
    pairs = zip(first or found, second or found, shape, strict=True)
    return tuple(slice(max(min(a.start, b.start) - 1, 0), min(max(a.stop, b.stop) + 1, end)) for a, b, end in pairs)
