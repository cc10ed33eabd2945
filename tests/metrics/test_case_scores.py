"""Rows of scores, their summary and their files."""

import json
import math
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aunet.errors import UserError
from aunet.labels import Labels
from aunet.metrics.case_scores import (
    COLUMNS,
    METRICS,
    class_boxes,
    join_scores,
    read_case_scores,
    score_case,
    score_values,
    summarise,
    summary_as_mapping,
    write_case_scores,
)
from aunet.metrics.overlap import dice, precision, recall
from aunet.metrics.surface_distance import average_surface_distance

LABELS = Labels(("background", "pancreas", "spleen", "kidney"))
SPACING = (1.0, 2.0, 2.5)


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

    assert tuple(scores.columns) == COLUMNS
    assert list(scores["class"]) == ["pancreas", "spleen", "kidney"]
    assert set(scores["case_id"]) == {"case_7"}


def test_scores_of_a_crop_equal_scores_of_whole_masks() -> None:
    prediction, reference = label_maps()

    scores = row(score_case("a", prediction, reference, SPACING, LABELS), "pancreas")

    masks = prediction == 1, reference == 1
    assert scores["dice"] == dice(*masks)
    assert scores["precision"] == precision(*masks)
    assert scores["recall"] == recall(*masks)
    assert scores["surface_distance_mm"] == pytest.approx(average_surface_distance(*masks, SPACING))


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

    np.testing.assert_array_equal(scores[list(METRICS)].astype(float), expected)


def test_a_class_in_neither_label_map_is_undefined() -> None:
    empty = np.zeros((4, 4, 4), dtype=np.uint8)

    scores = score_case("a", empty, empty, SPACING, LABELS)

    assert scores[list(METRICS)].isna().all(axis=None)
    assert (scores[["reference_ml", "predicted_ml"]] == 0).all(axis=None)


def test_storage_order_and_integer_type_change_nothing() -> None:
    prediction, reference = label_maps()

    plain = score_case("a", prediction, reference, SPACING, LABELS)
    stored = score_case(
        "a", np.asfortranarray(prediction).astype(np.int16), reference.astype(np.int64), SPACING, LABELS
    )

    pd.testing.assert_frame_equal(plain, stored)


def test_classes_may_stand_as_any_integers() -> None:
    prediction, reference = label_maps()
    values = np.array([0, 300, 7, 41])

    scores = score_values(
        "a", values[prediction], values[reference], SPACING, {"pancreas": 300, "spleen": 7, "kidney": 41}
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


def scores_of(dices: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        {"case_id": f"case_{number}", "class": name, **dict.fromkeys(COLUMNS[2:], 1.0), "dice": value}
        for name, values in dices.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summary_row(summary: pd.DataFrame, of_class: str, metric: str) -> pd.Series:
    return summary.set_index(["class", "metric"]).loc[of_class, metric]


def test_summary_is_mean_and_sample_sd_over_cases() -> None:
    values = [0.5, 0.75, 0.9, 0.2]

    of_dice = summary_row(summarise(scores_of({"spleen": values})), "spleen", "dice")

    assert of_dice["mean"] == pytest.approx(statistics.mean(values))
    assert of_dice["sd"] == pytest.approx(statistics.stdev(values))
    assert (of_dice["count"], of_dice["undefined"]) == (4, 0)


def test_undefined_values_are_counted_and_do_not_enter_the_mean() -> None:
    of_dice = summary_row(summarise(scores_of({"spleen": [0.4, math.nan, 0.6]})), "spleen", "dice")

    assert of_dice["mean"] == pytest.approx(0.5)
    assert (of_dice["count"], of_dice["undefined"]) == (2, 1)


def test_the_sd_of_one_case_and_the_mean_of_none_are_undefined() -> None:
    summary = summarise(scores_of({"one": [0.4, math.nan], "none": [math.nan, math.nan]}))

    assert math.isnan(summary_row(summary, "one", "dice")["sd"])
    assert math.isnan(summary_row(summary, "none", "dice")["mean"])
    assert summary_row(summary, "none", "dice")["undefined"] == 2


def test_the_summary_as_a_mapping_is_plain_json() -> None:
    summary = summarise(scores_of({"spleen": [0.5, 0.7], "none": [math.nan, math.nan]}))

    mapping = json.loads(json.dumps(summary_as_mapping(summary), allow_nan=False))

    assert mapping["spleen"]["dice"] == pytest.approx(
        {"mean": 0.6, "sd": 0.1 * math.sqrt(2), "count": 2, "undefined": 0}
    )
    assert mapping["none"]["dice"] == {"mean": None, "sd": None, "count": 0, "undefined": 2}


def test_a_file_of_scores_reads_back_as_it_was(tmp_path: Path) -> None:
    scores = join_scores([score_case(case_id, *label_maps(), SPACING, LABELS) for case_id in ("007", "NA")])
    path = tmp_path / "test" / "case_scores.csv"

    write_case_scores(path, scores)

    pd.testing.assert_frame_equal(read_case_scores(path), scores)


def test_a_missing_file_of_scores_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"case_scores\.csv: no such file"):
        read_case_scores(tmp_path / "case_scores.csv")


def test_a_table_without_the_columns_of_scores_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case_scores.csv"
    path.write_text("case_id,class,dice\na,spleen,0.5\n", encoding="utf-8")

    with pytest.raises(UserError, match=r"lacks the columns .*surface_distance_mm"):
        read_case_scores(path)
