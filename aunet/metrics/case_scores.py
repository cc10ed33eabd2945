"""Scores of predicted label maps: a row per case and class, their summary, and both as files."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from aunet.atomic_files import replaced_atomically
from aunet.errors import UserError
from aunet.labels import Labels
from aunet.metrics.overlap import Mask, dice, precision, recall
from aunet.metrics.surface_distance import average_surface_distance

METRICS = ("dice", "precision", "recall", "surface_distance_mm")
COLUMNS = ("case_id", "class", *METRICS, "reference_ml", "predicted_ml")

CONVENTION = (
    "A class missing from a prediction scores Dice 0 and recall 0, its precision and surface distance are undefined; "
    "a class predicted but not in the reference scores Dice 0 and precision 0, its recall and surface distance are "
    "undefined; a class in neither, or not annotated in the case, is undefined in every metric. "
    "Undefined values are counted, and not in mean and sd."
)

# Slices of one box in the array, an axis each.
Box = tuple[slice, ...]


def score_case(
    case_id: str,
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    labels: Labels,
    annotated: frozenset[int] | None = None,
) -> pd.DataFrame:
    """One row per foreground class of ``labels``, columns ``COLUMNS``; see ``CONVENTION`` for missing classes.

    ``prediction`` and ``reference`` (H, W, D) are integer label maps of one grid, ``spacing`` its voxel size in mm.
    Of classes outside ``annotated`` (None: all are in it) only the predicted volume is known.
    """
    index_of_class = {name: index for index, name in labels.foreground}
    scores = score_values(case_id, prediction, reference, spacing, index_of_class)
    unknown = [name for name, index in index_of_class.items() if annotated is not None and index not in annotated]
    scores.loc[scores["class"].isin(unknown), [*METRICS, "reference_ml"]] = float("nan")
    return scores


def score_values(
    case_id: str,
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    spacing: Sequence[float],
    value_of_class: Mapping[str, int],
) -> pd.DataFrame:
    """As ``score_case``, for classes that stand in the label maps as any positive integers."""
    assert prediction.shape == reference.shape, f"{case_id}: {prediction.shape} and {reference.shape}"
    highest = max(value_of_class.values(), default=1)
    predicted_boxes, reference_boxes = class_boxes(prediction, highest), class_boxes(reference, highest)
    rows: list[dict[str, str | float]] = []
    for name, value in value_of_class.items():
        box = _joint_box(predicted_boxes.get(value), reference_boxes.get(value), prediction.ndim)
        scores = _score_masks(prediction[box] == value, reference[box] == value, spacing)
        rows.append({"case_id": case_id, "class": name, **scores})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def class_boxes(label_map: NDArray[np.integer], highest: int = 0) -> dict[int, Box]:
    """Bounding box of each positive value present in ``label_map``, up to ``highest`` (0: up to its maximum)."""
    # SciPy walks in C order, seven times slower over the Fortran order of NIfTI voxels.
    is_reversed = not label_map.flags.c_contiguous
    found = ndimage.find_objects(label_map.T if is_reversed else label_map, max_label=highest)
    boxes = {value: box for value, box in enumerate(found, start=1) if box is not None}
    return {value: box[::-1] if is_reversed else box for value, box in boxes.items()}


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and sd (n - 1) over the cases, per class and metric.

    Columns class, metric, mean, sd, count (of the cases that enter) and undefined (of those that do not). The mean of
    no case and the sd of one are NaN.
    """
    rows: list[dict[str, str | float]] = []
    for metric in METRICS:
        for name in scores["class"].unique():
            values = scores.loc[scores["class"] == name, metric].to_numpy(dtype=np.float64)
            rows.append({"class": str(name), "metric": metric, **_mean_and_sd(values)})
    return pd.DataFrame(rows, columns=["class", "metric", "mean", "sd", "count", "undefined"])


def summary_as_mapping(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """``{class: {metric: {mean, sd, count, undefined}}}`` for JSON, None where a mean or sd is undefined."""
    mapping: dict[str, dict[str, dict[str, float | int | None]]] = {}
    for row in summary.to_dict("records"):
        mapping.setdefault(str(row["class"]), {})[str(row["metric"])] = {
            "mean": _none_for_nan(row["mean"]),
            "sd": _none_for_nan(row["sd"]),
            "count": int(row["count"]),
            "undefined": int(row["undefined"]),
        }
    return mapping


def write_case_scores(path: Path, scores: pd.DataFrame) -> None:
    """Write ``scores`` as CSV, undefined values as empty cells."""
    with replaced_atomically(path) as temporary:
        scores.to_csv(temporary, index=False)


def read_case_scores(path: Path) -> pd.DataFrame:
    """Read what ``write_case_scores`` wrote; case ids and classes stay text also where they look like numbers."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; it is written when the test cases are scored at the end of a run.")
    numbers = {column: [""] for column in COLUMNS[2:]}
    scores = pd.read_csv(path, dtype={"case_id": "str", "class": "str"}, keep_default_na=False, na_values=numbers)
    if missing := [column for column in COLUMNS if column not in scores.columns]:
        raise UserError(f"{path}: lacks the columns {missing}; a table of case scores has {list(COLUMNS)}.")
    return scores


def join_scores(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several cases as one table, in the given order."""
    return pd.concat(list(tables), ignore_index=True)


def _score_masks(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
    voxel_ml = math.prod(spacing) / 1000
    return {
        "dice": dice(prediction, reference),
        "precision": precision(prediction, reference),
        "recall": recall(prediction, reference),
        "surface_distance_mm": average_surface_distance(prediction, reference, spacing),
        "reference_ml": np.count_nonzero(reference) * voxel_ml,
        "predicted_ml": np.count_nonzero(prediction) * voxel_ml,
    }


def _joint_box(first: Box | None, second: Box | None, axes: int) -> Box:
    if first is None or second is None:
        return first or second or (slice(0, 0),) * axes
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))


def _mean_and_sd(values: NDArray[np.float64]) -> dict[str, float]:
    defined = values[~np.isnan(values)]
    return {
        "mean": float(defined.mean()) if len(defined) else float("nan"),
        "sd": float(defined.std(ddof=1)) if len(defined) > 1 else float("nan"),
        "count": len(defined),
        "undefined": len(values) - len(defined),
    }


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
