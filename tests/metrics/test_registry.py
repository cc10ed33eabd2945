"""The records of the metrics."""

import importlib.util
import math

import numpy as np
import pytest

from aunet.metrics.calibration import Calibration, measure_calibration
from aunet.metrics.case_scores import COLUMNS, FILE_METRICS, shown_metrics
from aunet.metrics.mask_pair import MaskPair
from aunet.metrics.metric import Metric
from aunet.metrics.registry import METRIC_OF, METRICS, notes_on


def ball(radius: float, centre: float) -> np.ndarray:
    grid = np.indices((24, 24, 24))
    return np.square(grid - np.array([12, 12, centre])[:, None, None, None]).sum(axis=0) <= radius**2


def calibration(mask: np.ndarray, reference: np.ndarray) -> Calibration | None:
    """Return that of a network which is 99.9 % sure of its prediction."""
    return measure_calibration(np.where(mask, 0.999, 0.001), reference)


def test_keys_and_headings_are_unique_and_every_key_is_a_column() -> None:
    assert len(METRIC_OF) == len(METRICS) == len({metric.heading for metric in METRICS})
    assert set(FILE_METRICS) < set(COLUMNS)


HAS_MESHES = importlib.util.find_spec("meshmetrics") is not None
NEEDS_MESHES = pytest.mark.skipif(not HAS_MESHES, reason="pip install 'aunet[mesh]'")
EVERY_METRIC = pytest.mark.parametrize(
    "metric",
    [pytest.param(metric, marks=[NEEDS_MESHES] * (metric.extra == "mesh")) for metric in METRICS],
    ids=lambda metric: metric.key,
)


@EVERY_METRIC
def test_a_better_prediction_scores_better_and_within_the_bounds(metric: Metric) -> None:
    reference, spot = ball(7, 12), np.zeros((24, 24, 24), dtype=bool)
    spot[0, 0, 0] = True
    # The worse prediction has a part of its own; each of them touches the one part of the reference.
    predictions = ball(7, 12.5), ball(5, 15) | spot
    good, bad = (
        metric.function(MaskPair(mask, reference, (1.0, 1.0, 2.0), calibration=calibration(mask, reference)))
        for mask in predictions
    )
    assert metric.lowest <= min(good, bad) <= max(good, bad) <= metric.highest
    is_better = {"higher": good > bad, "lower": good < bad, "zero": abs(good) < abs(bad)}
    assert is_better[metric.direction] or metric.key == "lesion_recall"


@EVERY_METRIC
def test_a_class_in_neither_mask_is_undefined(metric: Metric) -> None:
    nothing = np.zeros((4, 4, 4), dtype=bool)
    certain = calibration(nothing, nothing)
    assert math.isnan(metric.function(MaskPair(nothing, nothing, (1.0, 1.0, 2.0), calibration=certain)))


def test_headings_hold_the_unit() -> None:
    assert (METRIC_OF["dice"].heading, METRIC_OF["assd_mm"].heading) == ("Dice", "ASSD (mm)")
    assert METRIC_OF["assd_mm"].penalised_heading == "ASSD, penalised (mm)"


def test_an_older_form_is_shown_only_if_its_successor_is_not_recorded() -> None:
    assert shown_metrics(("dice", "voxel_assd_mm")) == ("dice", "voxel_assd_mm")
    assert shown_metrics(("assd_mm", "voxel_assd_mm")) == ("assd_mm",)
    assert "border voxels" in notes_on(("dice", "voxel_assd_mm"))
