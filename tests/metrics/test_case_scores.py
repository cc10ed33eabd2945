"""The table of case scores: its summary, penalties and files."""

import json
import math
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aunet.classes import Labels
from aunet.errors import UserError
from aunet.metrics.case_scores import (
    COLUMNS,
    NUMBERS,
    SHOWN_METRICS,
    columns_of,
    count_cases,
    detections,
    has_patients,
    join_scores,
    patients,
    penalised,
    read_case_scores,
    recorded_metrics,
    shown_metrics,
    summarise,
    summary_as_mapping,
    write_case_scores,
)
from aunet.metrics.label_map_scores import score_case

LABELS = Labels(("background", "pancreas", "spleen", "kidney"))
SPACING = (1.0, 2.0, 2.5)
OLD_HEADER = "case_id,class,dice,precision,recall,surface_distance_mm,reference_ml,predicted_ml"


def label_maps() -> tuple[np.ndarray, np.ndarray]:
    """Pancreas found in part, spleen missed, kidney invented."""
    prediction, reference = np.zeros((2, 16, 14, 12), dtype=np.uint8)
    reference[2:8, 2:8, 2:8] = 1
    prediction[4:9, 2:8, 2:8] = 1
    reference[10:12, 10:12, 10:12] = 2
    prediction[12:14, 1:3, 1:3] = 3
    return prediction, reference


def scores_of(dices: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        {"case_id": f"case_{at}", "patient": "p", "class": name, **dict.fromkeys(NUMBERS, 1.0), "dice": value}
        for name, values in dices.items()
        for at, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def organ(kind: str, case_id: str) -> dict[str, str | float]:
    """Return a row of an organ that is found, misplaced, missed, invented, absent from both, or not annotated."""
    nan = math.nan
    dice, precision, recall, distance, reference, predicted = {
        "found": (0.8, 0.7, 0.9, 2.0, 50.0, 60.0),
        "misplaced": (0.0, 0.0, 0.0, 30.0, 50.0, 60.0),
        "missed": (0.0, nan, 0.0, nan, 50.0, 0.0),
        "invented": (0.0, 0.0, nan, nan, 0.0, 60.0),
        "absent": (nan, nan, nan, nan, 0.0, 0.0),
        "not annotated": (nan, nan, nan, nan, nan, 60.0),
    }[kind]
    values = (case_id, case_id, "spleen", dice, precision, recall, distance, distance, reference, predicted, 400.0)
    return dict(zip(COLUMNS[:11], values, strict=True))


def organs(*kinds: str) -> pd.DataFrame:
    return pd.DataFrame([organ(kind, f"case_{at}") for at, kind in enumerate(kinds)])


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
        {"mean": 0.6, "sd": 0.1 * math.sqrt(2), "count": 2, "undefined": 0, "penalised_mean": 0.6}
    )
    assert mapping["none"]["dice"] == {"mean": None, "sd": None, "count": 0, "undefined": 2, "penalised_mean": None}
    assert mapping["spleen"]["detection"] == {"present": 2, "detected": 2, "invented": 0}


def test_a_file_of_scores_reads_back_as_it_was(tmp_path: Path) -> None:
    scores = join_scores([score_case(case_id, *label_maps(), SPACING, LABELS) for case_id in ("007", "NA")])
    path = tmp_path / "test" / "case_scores.csv"

    write_case_scores(path, scores)

    pd.testing.assert_frame_equal(read_case_scores(path), scores)
    header, first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert header == ",".join(scores.columns)
    assert first.startswith("007,007,pancreas,")


def test_a_missing_file_of_scores_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"case_scores\.csv: no such file"):
        read_case_scores(tmp_path / "case_scores.csv")


@pytest.mark.parametrize("kind", ["missed", "invented"])
def test_a_class_on_one_side_is_penalised_with_overlap_zero_and_the_diagonal(kind: str) -> None:
    values = penalised(organs(kind)).iloc[0]

    assert values[["dice", "precision", "recall"]].tolist() == [0, 0, 0]
    assert values[["assd_mm", "voxel_assd_mm"]].tolist() == [400, 400]


@pytest.mark.parametrize("kind", ["found", "misplaced", "absent", "not annotated"])
def test_no_other_class_is_penalised(kind: str) -> None:
    scores = organs(kind)

    pd.testing.assert_frame_equal(penalised(scores), scores)


def test_differences_of_volume_have_no_penalty() -> None:
    scores = score_case("a", *label_maps(), SPACING, LABELS)
    columns = ["volume_difference_percent", "volume_difference_ml"]

    pd.testing.assert_frame_equal(penalised(scores)[columns], scores[columns])
    assert scores["volume_difference_percent"].tolist()[1] == -100


def test_missing_the_hard_organ_does_not_better_the_penalised_distance() -> None:
    finds_both, misses_one = summarise(organs("found", "misplaced")), summarise(organs("found", "missed"))

    columns = ["mean", "penalised_mean"]
    assert summary_row(finds_both, "spleen", "assd_mm")[columns].tolist() == [16, 16]
    assert summary_row(misses_one, "spleen", "assd_mm")[columns].tolist() == [2, 201]


def test_filling_the_whole_scan_does_not_better_the_penalised_distance() -> None:
    reference = np.zeros((16, 14, 12), dtype=np.uint8)
    reference[2:6, 2:6, 2:6] = 1

    scores = score_case("a", np.ones_like(reference), reference, SPACING, Labels(("background", "spleen")))

    diagonal = math.hypot(16 * 1.0, 14 * 2.0, 12 * 2.5)
    assert math.isnan(scores["assd_mm"].iloc[0])
    assert penalised(scores)["assd_mm"].iloc[0] == pytest.approx(diagonal)
    assert summary_row(summarise(scores), "spleen", "assd_mm")["penalised_mean"] == pytest.approx(diagonal)
    assert penalised(scores)["voxel_assd_mm"].iloc[0] == scores["voxel_assd_mm"].iloc[0]


def test_penalised_means_leave_out_cases_without_the_class_or_its_annotation() -> None:
    summary = summarise(organs("found", "missed", "absent", "not annotated"))

    assert summary_row(summary, "spleen", "dice")["penalised_mean"] == pytest.approx(0.4)
    assert summary_row(summary, "spleen", "precision")["penalised_mean"] == pytest.approx(0.35)


def test_detections_count_organs_that_are_hit_and_those_that_are_invented() -> None:
    kinds = ("found", "found", "misplaced", "missed", "invented", "absent", "not annotated")

    counts = detections(organs(*kinds))
    assert counts.to_dict("records") == [{"class": "spleen", "present": 4, "detected": 2, "invented": 1}]
    assert all(counts[name].dtype == int for name in ("present", "detected", "invented"))


def test_patients_are_carried_and_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "case_scores.csv"
    write_case_scores(path, score_case("1", *label_maps(), SPACING, LABELS, patient="007"))

    scores = read_case_scores(path)

    assert set(patients(scores)) == {"007"}
    assert shown_metrics(recorded_metrics(scores)) == tuple(key for key in SHOWN_METRICS if key in columns_of())
    assert has_patients(scores)


def test_cases_are_counted_with_their_patients_if_these_are_known() -> None:
    scores = organs("found", "missed", "absent")

    assert count_cases(scores) == "3 cases"
    assert count_cases(scores.assign(patient=["p", "p", "q"])) == "3 cases of 2 patients"
    assert count_cases(scores.assign(patient="")) == "3 cases"
    assert count_cases(scores.assign(patient="p")) == "3 cases of 1 patient"
    assert count_cases(scores[:1].assign(patient="p")) == "1 case of 1 patient"
    assert count_cases(scores[:1]) == "1 case"


def write_old_scores(path: Path) -> Path:
    rows = ("a,spleen,0.5,0.4,0.6,1.25,50.0,60.0", "b,spleen,0.0,,0.0,,50.0,0.0")
    path.write_text("\n".join([OLD_HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def test_scores_of_an_older_version_are_read_with_what_they_record(tmp_path: Path) -> None:
    scores = read_case_scores(write_old_scores(tmp_path / "case_scores.csv"))

    assert recorded_metrics(scores) == ("dice", "precision", "recall", "voxel_assd_mm")
    assert scores.loc[0, ["dice", "voxel_assd_mm", "predicted_ml"]].tolist() == [0.5, 1.25, 60]
    assert scores["diagonal_mm"].isna().all()
    assert not has_patients(scores)
    assert patients(scores).tolist() == ["a", "b"]
    assert shown_metrics(recorded_metrics(scores)) == ("dice", "precision", "recall", "voxel_assd_mm")


def test_a_column_that_is_missing_is_not_recorded_and_one_that_is_unknown_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "case_scores.csv"
    path.write_text("case_id,class,dice,metric_of_2030\na,spleen,0.5,7\n", encoding="utf-8")

    scores = read_case_scores(path)

    assert recorded_metrics(scores) == shown_metrics(recorded_metrics(scores)) == ("dice",)
    assert list(scores.columns) == [
        "case_id",
        "patient",
        "class",
        "dice",
        "reference_ml",
        "predicted_ml",
        "diagonal_mm",
        "tolerance_mm",
    ]
    assert summarise(scores)["metric"].tolist() == ["dice"]


def test_a_penalty_that_an_older_version_did_not_record_leaves_the_mean_unknown(tmp_path: Path) -> None:
    summary = summarise(read_case_scores(write_old_scores(tmp_path / "case_scores.csv")))

    assert summary_row(summary, "spleen", "voxel_assd_mm")["mean"] == 1.25
    assert math.isnan(summary_row(summary, "spleen", "voxel_assd_mm")["penalised_mean"])
    assert summary_row(summary, "spleen", "dice")["penalised_mean"] == 0.25


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "not a table of case scores"),
        ("\x00\x01\x02", "lacks the columns"),
        (f"{OLD_HEADER}\na,b,1,1,1,1,1,1,1,1,1\na,b,1,1\nc,1,1,1,1,1,1,1,1,1,1,1,1,1\n", "not a table of case scores"),
        ("case_id,class,note\na,spleen,fine\n", "lacks the columns of all metrics"),
        ("case_id,dice\na,0.5\n", r"lacks the columns \['class'\]"),
        (
            f"{OLD_HEADER}\na,spleen,0.5,0.4,0.6,1.2,50.0,60.0\nb,spleen,0.5,?,0.6,1.2,50.0,60.0\n",
            "line 3, precision: '?'",
        ),
        (f"{OLD_HEADER}\na,spleen,inf,0.4,0.6,1.2,50.0,60.0\n", "line 2, dice: 'inf' is not finite"),
        (f"{OLD_HEADER}\na,spleen,3.9,0.4,0.6,1.2,50.0,60.0\n", "line 2, dice: '3.9' is not between 0 and 1"),
        (f"{OLD_HEADER}\na,spleen,0.5,0.4,0.6,-1.2,50.0,60.0\n", "line 2, voxel_assd_mm: '-1.2' is not between 0 and"),
        (f"{OLD_HEADER}\na,spleen,0.5,0.4,0.6,1.2,50.0,60.0\nb,spl\n", "line 3 lacks its case, class or predicted"),
        (f"{OLD_HEADER}\n" + 2 * "a,spleen,0.5,0.4,0.6,1.2,50.0,60.0\n", "line 3 repeats a case and class"),
    ],
    ids=[
        "empty",
        "binary",
        "ragged",
        "no metric",
        "no class",
        "text",
        "infinite",
        "overlap",
        "negative",
        "cut off",
        "double",
    ],
)
def test_a_damaged_file_is_refused_with_the_place_and_a_remedy(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "case_scores.csv"
    path.write_text(content, encoding="utf-8")

    remedy = r"\. Restore the file from a copy of the run, or score its predictions again with `aunet evaluate`\."
    with pytest.raises(UserError, match=rf"case_scores\.csv: .*{fault.replace('?', '[?]')}.*{remedy}"):
        read_case_scores(path)


def test_numbers_survive_the_file_to_the_last_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(size=100)
    scores = scores_of({"spleen": values.tolist()})
    write_case_scores(tmp_path / "case_scores.csv", scores)

    assert read_case_scores(tmp_path / "case_scores.csv")["dice"].tolist() == values.tolist()
