"""Rows of scores from pairs of label maps."""

import math

import numpy as np
import pandas as pd
import pytest

from aunet.classes import IGNORED, Labels
from aunet.metrics.bounding_boxes import boxes_of_classes, class_boxes
from aunet.metrics.case_scores import USUAL_METRICS, columns_of
from aunet.metrics.label_map_scores import Scoring, score_case, score_values
from aunet.metrics.overlap import dice, precision, recall
from tests.metrics.surface_metrics import average_surface_distance, voxel_surface_distance

LABELS = Labels(("background", "pancreas", "spleen", "kidney"))
SPACING = (1.0, 2.0, 2.5)
METRIC_COLUMNS = list(USUAL_METRICS)


def label_maps() -> tuple[np.ndarray, np.ndarray]:
    """Pancreas found in part, spleen missed, kidney invented."""
    prediction, reference = np.zeros((2, 16, 14, 12), dtype=np.uint8)
    reference[2:8, 2:8, 2:8] = 1
    prediction[4:9, 2:8, 2:8] = 1
    reference[10:12, 10:12, 10:12] = 2
    prediction[12:14, 1:3, 1:3] = 3
    return prediction, reference


def row(scores: pd.DataFrame, of_class: str) -> pd.Series:
    return scores.set_index("class").loc[of_class]


def test_a_case_has_one_row_per_foreground_class_in_order() -> None:
    scores = score_case("case_7", *label_maps(), SPACING, LABELS)

    assert list(scores.columns) == columns_of()
    assert list(scores["class"]) == ["pancreas", "spleen", "kidney"]
    assert set(scores["case_id"]) == {"case_7"}


def test_a_case_without_a_known_patient_is_its_own() -> None:
    known = score_case("case_7", *label_maps(), SPACING, LABELS, patient="p3")
    unknown = score_case("case_7", *label_maps(), SPACING, LABELS)

    assert set(known["patient"]) == {"p3"}
    assert set(unknown["patient"]) == {"case_7"}


@pytest.mark.parametrize(("shape", "expected"), [((3, 2, 4), math.hypot(3, 4, 10)), ((30, 40, 1), math.hypot(30, 80))])
def test_the_diagonal_is_that_of_the_scan_without_axes_of_length_one(shape: tuple[int, ...], expected: float) -> None:
    nothing = np.zeros(shape, dtype=np.uint8)

    assert score_case("a", nothing, nothing, SPACING, LABELS)["diagonal_mm"].tolist() == [pytest.approx(expected)] * 3


def test_of_a_class_that_is_not_annotated_only_the_prediction_is_known() -> None:
    scores = row(score_case("a", *label_maps(), SPACING, LABELS, frozenset({0, 2})), "pancreas")

    assert scores[[*METRIC_COLUMNS, "reference_ml"]].isna().all()
    assert scores["predicted_ml"] == pytest.approx(180 * 5 / 1000)


def test_scores_of_a_crop_equal_scores_of_whole_masks() -> None:
    prediction, reference = label_maps()

    scores = row(score_case("a", prediction, reference, SPACING, LABELS), "pancreas")

    masks = prediction == 1, reference == 1
    assert scores["dice"] == dice(*masks)
    assert scores["precision"] == precision(*masks)
    assert scores["recall"] == recall(*masks)
    assert scores["assd_mm"] == pytest.approx(average_surface_distance(*masks, SPACING))
    assert scores["voxel_assd_mm"] == pytest.approx(voxel_surface_distance(*masks, SPACING))


def test_volumes_are_voxel_counts_in_ml() -> None:
    scores = row(score_case("a", *label_maps(), SPACING, LABELS), "pancreas")

    assert scores["reference_ml"] == pytest.approx(216 * 5 / 1000)
    assert scores["predicted_ml"] == pytest.approx(180 * 5 / 1000)


@pytest.mark.parametrize(
    ("of_class", "expected"),
    [("spleen", (0, math.nan, 0, math.nan)), ("kidney", (0, 0, math.nan, math.nan))],
    ids=["missed", "invented"],
)
def test_missed_and_invented_classes_follow_the_convention(of_class: str, expected: tuple[float, ...]) -> None:
    scores = row(score_case("a", *label_maps(), SPACING, LABELS), of_class)

    np.testing.assert_array_equal(scores[list(METRIC_COLUMNS[:4])].astype(float), expected)


def test_neither_the_edge_of_a_scan_nor_that_of_a_crop_is_a_surface() -> None:
    """A vessel through the scan, off its middle, of 4x4 voxels in one map and of 6x6 in the other."""
    prediction, reference = np.zeros((2, 20, 20, 7), dtype=np.uint8)
    prediction[8:12, 8:12], reference[7:13, 7:13] = 1, 1

    scores = row(score_case("a", prediction, reference, (1.0, 1.0, 1.0), LABELS), "pancreas")

    assert scores["assd_mm"] == pytest.approx(average_surface_distance(prediction == 1, reference == 1, (1, 1, 1)))
    assert scores["assd_mm"] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_of_one_slice_is_scored_between_contours(axis: int) -> None:
    rows, columns = np.mgrid[:80, :80]
    maps = [(rows - 40) ** 2 + (columns - middle) ** 2 <= 625 for middle in (37, 43)]
    spacing = np.insert([1.0, 1.0], axis, 8.0)

    scores = score_case("a", *(np.expand_dims(disc, axis).astype(np.uint8) for disc in maps), spacing, LABELS)

    # Brute force over all pairs of border pixels yields 3.61.
    assert row(scores, "pancreas")["assd_mm"] == pytest.approx(3.61, abs=0.1)
    assert row(scores, "pancreas")["voxel_assd_mm"] == pytest.approx(3.61, abs=0.01)


def test_a_class_in_neither_label_map_is_undefined() -> None:
    empty = np.zeros((4, 4, 4), dtype=np.uint8)

    scores = score_case("a", empty, empty, SPACING, LABELS)

    assert scores[METRIC_COLUMNS].isna().all(axis=None)
    assert (scores[["reference_ml", "predicted_ml"]] == 0).all(axis=None)


def test_storage_order_and_integer_type_change_nothing() -> None:
    prediction, reference = label_maps()

    plain = score_case("a", prediction, reference, SPACING, LABELS)
    stored = score_case(
        "a", np.asfortranarray(prediction).astype(np.int16), reference.astype(np.int64), SPACING, LABELS
    )

    pd.testing.assert_frame_equal(plain, stored)


def test_classes_may_be_any_integers() -> None:
    prediction, reference = label_maps()
    values = np.array([0, 300, 7, 41])

    scores = score_values(
        "a", values[prediction], values[reference], SPACING, {"pancreas": (300,), "spleen": (7,), "kidney": (41,)}
    )

    pd.testing.assert_frame_equal(scores, score_case("a", prediction, reference, SPACING, LABELS))


@pytest.mark.parametrize("order", ["C", "F"])
def test_boxes_enclose_each_value(order: str) -> None:
    label_map = np.zeros((5, 6, 7), dtype=np.uint8, order=order)
    label_map[1:3, 2:6, 3:4] = 2
    label_map[4, 0, 6] = 9

    assert class_boxes(label_map) == {
        2: (slice(1, 3), slice(2, 6), slice(3, 4)),
        9: (slice(4, 5), slice(0, 1), slice(6, 7)),
    }


def test_a_class_without_values_has_no_box() -> None:
    assert boxes_of_classes(np.ones((2, 2, 2), dtype=np.uint8), [()]) == [None]


def test_tolerances_are_per_class_and_lesions_on_request() -> None:
    scoring = Scoring({"spleen": 5.0}, tolerance_mm=1.0, has_lesions=True)

    scores = score_case("a", *label_maps(), SPACING, LABELS, scoring=scoring)

    assert scores["tolerance_mm"].tolist() == [1.0, 5.0, 1.0]
    assert scores["lesion_f1"].tolist() == [1.0, 0.0, 0.0]
    assert "lesion_f1" not in score_case("a", *label_maps(), SPACING, LABELS)


@pytest.mark.parametrize(
    ("of_class", "expected"),
    [
        # The pancreas has 216 and 180 voxels, 144 of them shared.
        ("pancreas", (144 / 252, -100 * 36 / 216, -36 * 5 / 1000)),
        ("spleen", (0.0, -100.0, -8 * 5 / 1000)),
        ("kidney", (0.0, math.nan, 8 * 5 / 1000)),
    ],
)
def test_overlap_and_volume_differences_follow_from_voxel_counts(of_class: str, expected: tuple[float, ...]) -> None:
    scores = row(score_case("a", *label_maps(), SPACING, LABELS), of_class)

    columns = ["iou", "volume_difference_percent", "volume_difference_ml"]
    np.testing.assert_allclose(scores[columns].astype(float), expected)


def test_voxels_without_a_reference_are_background_on_both_sides() -> None:
    prediction, reference = label_maps()
    ignoring = reference.copy()
    ignoring[:3], ignoring[11:] = IGNORED, IGNORED
    is_known = ignoring != IGNORED

    found = score_case("a", prediction, ignoring, SPACING, LABELS)

    pd.testing.assert_frame_equal(found, score_case("a", prediction * is_known, reference * is_known, SPACING, LABELS))
    assert (ignoring == IGNORED).any()  # the arguments stay as they are
    assert found["predicted_ml"].tolist() == [180 * 5 / 1000, 0, 0]


def test_a_class_of_several_values_is_their_union() -> None:
    prediction, reference = label_maps()
    halves = np.arange(16)[:, None, None] % 2  # 1 becomes 4 in every other slice

    parts = [np.where(label_map == 1, 1 + 3 * halves, label_map) for label_map in (prediction, reference)]
    found = score_values("a", *parts, SPACING, {"pancreas": (1, 4), "spleen": (2,), "kidney": (3,)})

    pd.testing.assert_frame_equal(found, score_case("a", prediction, reference, SPACING, LABELS))
