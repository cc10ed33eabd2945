"""The table of case scores: a row per case and class, its summary, and both as files.

A metric that the version which wrote a file did not know is "not recorded": the table lacks its column. Other values
that it did not write are empty (``patient``) or NaN (volumes, ``diagonal_mm``).
"""

import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aunet.errors import UserError
from aunet.files import replaced_atomically
from aunet.metrics.metric import Extra
from aunet.metrics.registry import METRIC_OF, METRICS

# Keys of the metrics: those that tables show, all that files hold, and the distances among these.
SHOWN_METRICS = tuple(metric.key for metric in METRICS if metric.is_shown)
FILE_METRICS = tuple(metric.key for metric in METRICS)
DISTANCES = tuple(metric.key for metric in METRICS if metric.penalty == "diagonal")
_VOLUMES = ("reference_ml", "predicted_ml", "diagonal_mm")
# Columns that were added later come last, so that programs which count columns still find the earlier ones.
_FIRST_METRICS = 5
NUMBERS = (*FILE_METRICS[:_FIRST_METRICS], *_VOLUMES, *FILE_METRICS[_FIRST_METRICS:], "tolerance_mm")
COLUMNS = ("case_id", "patient", "class", *NUMBERS)
_OPTIONAL = frozenset(metric.key for metric in METRICS if metric.is_optional)
USUAL_METRICS = tuple(key for key in FILE_METRICS if key not in _OPTIONAL)
# The first version wrote the voxel form under an ambiguous name.
_OLD_NAMES = {"surface_distance_mm": "voxel_assd_mm"}
_NAMES = ("case_id", "class")

CONVENTION = (
    "Undefined values are counted, but left out of mean and sd: precision and surface distances of a class missing "
    "from a prediction (its Dice and recall are 0); recall, surface distances and relative volume difference of a "
    "class predicted but not in the reference (its Dice and precision are 0); every metric of a class in neither, or "
    "not annotated; surface distances of a class that fills the whole scan, which has no surface within it."
)
PENALTY = (
    "Penalised: as the mean, but a class in only one of prediction and reference counts with overlaps (NSD among them) "
    "of 0 and surface distances of the scan's diagonal, as does one whose prediction alone fills the whole scan. So "
    "missing a class does not pay. Volume differences have no penalty."
)


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean and sd (n - 1) over the cases, a row per metric of the files and class.

    Columns class, metric, mean, sd, count (of the cases included), undefined (of those left out), penalised_mean (see
    ``penalised``; NaN if a penalty is not recorded) and those of ``detections``. The mean of no case and the sd of one
    are NaN.
    """
    with_penalties = penalised(scores)
    names = scores["class"].to_numpy()
    rows: list[dict[str, str | float]] = []
    for metric in recorded_metrics(scores):
        values, penalised_values = (table[metric].to_numpy(dtype=np.float64) for table in (scores, with_penalties))
        is_unknown = _is_penalised(scores, metric).to_numpy() & np.isnan(penalised_values)
        for name in scores["class"].unique():
            is_class = names == name
            mean = float("nan") if is_unknown[is_class].any() else pd.Series(penalised_values[is_class]).mean()
            rows.append(
                {"class": str(name), "metric": metric, **_mean_and_sd(values[is_class]), "penalised_mean": float(mean)}
            )
    columns = ["class", "metric", "mean", "sd", "count", "undefined", "penalised_mean"]
    return pd.DataFrame(rows, columns=columns).merge(detections(scores), on="class", how="left")


def penalised(scores: pd.DataFrame) -> pd.DataFrame:
    """Return ``scores`` with a penalty for each class in only one of prediction and reference (see ``PENALTY``).

    Means over the result include missed, invented and overflowing organs, so that no model gains from an undefined one.
    A distance stays NaN if ``diagonal_mm`` is not recorded.
    """
    result = scores.copy()
    for metric in recorded_metrics(scores):
        if (rows := _is_penalised(scores, metric)).any():
            result.loc[rows, metric] = scores["diagonal_mm"] if metric in DISTANCES else 0.0
    return result


def detections(scores: pd.DataFrame) -> pd.DataFrame:
    """Return how many organs were found: columns class, present, detected and invented, a row per class.

    ``present`` counts the cases whose reference holds the class; ``detected`` those of them whose prediction shares a
    voxel with it (Dice above 0); ``invented`` the cases without it in which it is predicted. Cases that do not annotate
    the class count in none.
    """
    is_present = scores["reference_ml"] > 0
    counted = pd.DataFrame(
        {
            "class": scores["class"],
            "present": is_present,
            "detected": is_present & (scores["predicted_ml"] > 0) & (scores["dice"] > 0),
            "invented": (scores["reference_ml"] == 0) & (scores["predicted_ml"] > 0),
        }
    )
    counts: Any = counted.groupby("class", sort=False).sum()
    return counts.astype(int).reset_index()


def patients(scores: pd.DataFrame) -> pd.Series:
    """Return the patient of each row, or its case if patients are not recorded."""
    column: Any = scores["patient" if has_patients(scores) else "case_id"]
    return column


def has_patients(scores: pd.DataFrame) -> bool:
    """Return whether patients are recorded; versions before the column ``patient`` did not record them."""
    return bool((scores["patient"] != "").all())


def count_cases(scores: pd.DataFrame) -> str:
    """Return ``40 cases``, or ``40 cases of 20 patients`` if patients are known and not the cases themselves."""
    of_case = dict(zip(scores["case_id"], patients(scores), strict=True))
    num_patients = len(set(of_case.values()))
    count = f"{len(of_case)} case{'' if len(of_case) == 1 else 's'}"
    if all(case_id == patient for case_id, patient in of_case.items()):
        return count
    return f"{count} of {num_patients} patient{'' if num_patients == 1 else 's'}"


def columns_of(extras: Collection[Extra] = ()) -> list[str]:
    """Return the columns of a table: of the metrics computed on request those of ``extras``."""
    left_out = {key for key in _OPTIONAL if METRIC_OF[key].extra not in extras}
    return [column for column in COLUMNS if column not in left_out]


def recorded_metrics(scores: pd.DataFrame) -> tuple[str, ...]:
    """Return the keys of the metrics that ``scores`` hold, undefined values included."""
    return tuple(key for key in FILE_METRICS if key in scores.columns)


def shown_metrics(recorded: Collection[str]) -> tuple[str, ...]:
    """Return the keys of the metrics to show of those recorded; an older form takes the place of one that is not."""
    choices = (key if key in recorded else METRIC_OF[key].older_form for key in SHOWN_METRICS)
    return tuple(key for key in choices if key is not None and key in recorded)


def summary_as_mapping(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Return the summary for JSON, with None for a mean or sd that is undefined.

    ``{class: {metric: {mean, sd, penalised_mean, count, undefined}, "detection": {present, detected, invented}}}``
    """
    mapping: dict[str, dict[str, dict[str, float | int | None]]] = {}
    for row in summary.to_dict("records"):
        of_class = mapping.setdefault(str(row["class"]), {})
        numbers = {key: _none_for_nan(row[key]) for key in ("mean", "sd", "penalised_mean")}
        of_class[str(row["metric"])] = numbers | {key: int(row[key]) for key in ("count", "undefined")}
        of_class["detection"] = {key: int(row[key]) for key in ("present", "detected", "invented")}
    return mapping


def write_case_scores(path: Path, scores: pd.DataFrame) -> None:
    """Write ``scores`` as CSV, undefined values as empty cells."""
    with replaced_atomically(path) as temporary:
        scores.to_csv(temporary, index=False)


def read_case_scores(path: Path) -> pd.DataFrame:
    """Read a file of ``write_case_scores``, or of an older or newer version; case ids, patients and classes stay text.

    A metric whose column is missing is not recorded, a column that this version does not know is left out.

    Raises:
        UserError: if the file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; it is written when the test cases are scored at the end of a run.")
    try:
        scores = pd.read_csv(path, dtype="str", keep_default_na=False).rename(columns=_OLD_NAMES)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise _damaged(path, f"not a table of case scores ({str(error).strip()})") from error
    if missing := [column for column in _NAMES if column not in scores.columns]:
        raise _damaged(path, f"lacks the columns {missing}; a table of case scores has {list(COLUMNS)}")
    recorded = recorded_metrics(scores)
    if not recorded:
        raise _damaged(path, f"lacks the columns of all metrics; a table of case scores has {list(COLUMNS)}")
    _check_rows(scores, path)
    columns = [column for column in COLUMNS if column in recorded or column not in FILE_METRICS]
    scores = scores.reindex(columns=columns, fill_value="")
    for column in columns:
        if column in NUMBERS:
            scores[column] = _numbers(scores, column, path)
    return scores


def join_scores(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several cases as one table, in the given order."""
    return pd.concat(list(tables), ignore_index=True)


def _is_penalised(scores: pd.DataFrame, metric: str) -> pd.Series:
    """Return the rows that count with a penalty instead of their value."""
    record = METRIC_OF[metric]
    if record.penalty == "none":
        return pd.Series(False, index=scores.index)
    if not record.is_of_surface:
        return _is_one_sided(scores)
    # The distance of two masks is undefined only if one fills the scan, which is the larger one.
    reference, predicted = scores["reference_ml"], scores["predicted_ml"]
    is_penalised = _is_one_sided(scores) | (scores[metric].isna() & (predicted > reference) & (reference > 0))
    return is_penalised


def _is_one_sided(scores: pd.DataFrame) -> pd.Series:
    """Return whether a class is in exactly one of prediction and reference, in a case that annotates it."""
    reference, predicted = scores["reference_ml"], scores["predicted_ml"]
    is_one_sided: Any = reference.notna() & ((reference > 0) != (predicted > 0))
    return is_one_sided


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


def _numbers(table: pd.DataFrame, column: str, path: Path) -> NDArray[np.float64]:
    """Return the numbers that ``column`` holds as text, NaN for an empty cell."""
    lowest, highest = (METRIC_OF[column].lowest, METRIC_OF[column].highest) if column in METRIC_OF else (0, math.inf)
    numbers = list[float]()
    for line, cell in enumerate(table[column], start=2):
        try:
            numbers.append(float(cell) if cell else math.nan)
        except ValueError:
            raise _damaged(path, f"line {line}, {column}: {cell!r} is not a number") from None
        if math.isinf(numbers[-1]):
            raise _damaged(path, f"line {line}, {column}: {cell!r} is not finite")
        if numbers[-1] < lowest or numbers[-1] > highest:
            raise _damaged(path, f"line {line}, {column}: {cell!r} is not between {lowest:g} and {highest:g}")
    return np.array(numbers)


def _check_rows(scores: pd.DataFrame, path: Path) -> None:
    """Raise UserError for a row that is cut off, and for two rows of one case and class."""
    is_cut: Any = (scores["case_id"] == "") | (scores["class"] == "")
    if "predicted_ml" in scores:  # the column without an empty cell: every version writes it in every row
        is_cut |= scores["predicted_ml"] == ""
    if is_cut.any():
        raise _damaged(path, f"line {int(is_cut.argmax()) + 2} lacks its case, class or predicted volume")
    is_double = scores.duplicated(["case_id", "class"])
    if is_double.any():
        raise _damaged(path, f"line {int(is_double.argmax()) + 2} repeats a case and class")


def _damaged(path: Path, fault: str) -> UserError:
    remedy = "Restore the file from a copy of the run, or score its predictions again with `aunet evaluate`."
    return UserError(f"{path}: {fault}. {remedy}")
