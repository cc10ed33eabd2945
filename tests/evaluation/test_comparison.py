"""The comparison's numbers and tables against numbers worked out by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from compared_runs import case_scores, compared_run
from rich.console import Console

from aunet.evaluation.arm_tables import effect_table
from aunet.evaluation.arms import gather_arms, tidy_scores
from aunet.evaluation.compared_run import ComparedRun, Training
from aunet.evaluation.comparison import TRAINING_CASES_NOTE, comparison_table, mark_of, run_notes, settings_table
from aunet.evaluation.comparison_scores import comparison_rows, differences_to_first, score_forms
from aunet.evaluation.effects import effects
from aunet.evaluation.setting_differences import SettingDifference, setting_differences
from aunet.reporting.tables import PHANTOM_NOTE, PaperTable

# The first run leaves the last case undefined.
FIRST, SECOND = [0.5, 0.7, math.nan], [0.6, 0.9, 0.4]


def runs(first: pd.DataFrame | None = None, second: pd.DataFrame | None = None, **changes: Any) -> list[ComparedRun]:
    attention = {"name": "attention", "model": "attention", "parameters": 6_407_018, "forward_seconds": 0.179}
    return [
        compared_run(scores=case_scores(FIRST) if first is None else first, forward_seconds=0.167, **changes),
        compared_run(
            "second",
            {"model.network.norm": "group"},
            scores=case_scores(SECOND) if second is None else second,
            **{**attention, **changes},
        ),
    ]


def table_of(compared: list[ComparedRun]) -> PaperTable:
    return comparison_table(compared, comparison_rows(compared), setting_differences(compared), "Measured on a clock.")


def differences_of(compared: list[ComparedRun]) -> PaperTable:
    arms = gather_arms(compared)
    rows = effects(tidy_scores(arms), [arm.name for arm in arms])
    title = f"Paired differences: {arms[1].name} minus {arms[0].name}"
    mark = mark_of(compared, setting_differences(compared))
    return effect_table(rows, score_forms(compared), f"{title}{mark}", run_notes(compared))


def rows_titled(table: PaperTable, title: str) -> list[tuple[str, ...]]:
    return next([row[1:] for row in group] for group in table.groups if group[0][0] == title)


def facts_of(table: PaperTable) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[3:] for row in table.groups[-1]}


def printed(table: PaperTable, width: int = 100) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_means_are_over_the_cases_that_both_models_define() -> None:
    table = table_of(runs())

    assert table.columns == ("Metric", "Class", "n", "unet", "attention")
    assert rows_titled(table, "Dice") == [
        ("pancreas", "2", "0.600 ± 0.141", "0.750 ± 0.212"),
        ("spleen", "3", "0.900 ± 0.000", "0.900 ± 0.000"),
    ]


def missing(scores: pd.DataFrame, *numbers: int) -> pd.DataFrame:
    """Take the organs of cases out of the prediction."""
    is_missing = scores["case_id"].isin([f"case_{number}" for number in numbers]) & (scores["class"] == "pancreas")
    scores.loc[is_missing, ["dice", "recall", "predicted_ml"]] = 0.0
    scores.loc[is_missing, ["precision", "assd_mm", "voxel_assd_mm"]] = np.nan
    return scores


def test_a_model_that_misses_organs_does_not_get_the_better_distance() -> None:
    of_cases = np.repeat([2.0, 2.0, 20.0, 3.0, 3.0, 30.0], 2)  # of both classes
    careful = case_scores([0.5] * 6, diagonal_mm=100.0, assd_mm=of_cases)
    lucky = missing(case_scores([0.5] * 6, diagonal_mm=100.0, assd_mm=of_cases), 2, 5)

    table = table_of(runs(careful, lucky))

    # Over its own cases alone, the second model has a mean of 2.50 mm against 10.00 of the first.
    assert rows_titled(table, "ASSD (mm)")[0] == ("pancreas", "4", "2.50 ± 0.58", "2.50 ± 0.58")
    penalised = np.array([2.0, 2.0, 100.0, 3.0, 3.0, 100.0])
    expected = (f"10.00 ± {of_cases[::2].std(ddof=1):.2f}", f"35.00 ± {penalised.std(ddof=1):.2f}")
    assert rows_titled(table, "ASSD, penalised (mm)")[0][2:] == expected
    assert rows_titled(table, "Detected (cases)")[0][2:] == ("6/6", "4/6")
    assert "diagonal" in table.as_markdown()

    differences = differences_of(runs(careful, lucky))
    assert rows_titled(differences, "ASSD (mm)")[0][1] == "+0.00"
    assert rows_titled(differences, "ASSD, penalised (mm)")[0][1] == "+25.00"


def test_false_positive_organs_are_counted_if_there_are_any() -> None:
    inventing = case_scores([0.0, 0.7, 0.8], reference_ml=[0.0, 1, 1, 1, 1, 1])
    silent = inventing.assign(predicted_ml=inventing["reference_ml"])

    assert rows_titled(table_of(runs(inventing, silent)), "False positive (cases)")[0][2:] == ("1", "0")
    assert not any("False positive" in group[0][0] for group in table_of(runs()).groups)


def test_slices_are_averaged_per_patient_first() -> None:
    patients = ["Ann", "Ann", "Ann", "Bob"]
    compared = runs(case_scores([0.1, 0.2, 0.3, 0.8], patients), case_scores([0.3, 0.4, 0.5, 0.8], patients))
    table, differences = table_of(compared), differences_of(compared)

    assert "mean ± sd over 2 patients (4 test cases)" in table.title
    assert rows_titled(table, "Dice")[0] == ("pancreas", "2 (4)", "0.500 ± 0.424", "0.600 ± 0.283")
    assert rows_titled(differences, "Dice")[0] == ("pancreas", "+0.100", "–", "–", "–", "0.141", "2 (4)", "0")


def test_cases_without_recorded_patients_count_one_each_and_the_table_says_so() -> None:
    scores = [case_scores(dices, ["", "", ""]) for dices in (FIRST, SECOND)]
    table = table_of(runs(*scores, unit="case"))

    assert "over 3 test cases" in table.title
    assert "Patients are not recorded" in table.as_markdown()


def test_groups_of_the_split_are_the_patients_and_the_table_says_so() -> None:
    scores = [case_scores(dices, ["p1", "p1", "p2"]) for dices in (FIRST, SECOND)]
    compared = [
        replace(run, settings={**run.settings, "data.split.group": "^p."}) for run in runs(*scores, unit="group")
    ]

    assert "over 2 patients (3 test cases)" in table_of(compared).title
    assert "data.split.group=^p. finds" in table_of(compared).as_markdown()


def test_runs_that_recorded_the_voxel_distance_alone_are_compared_by_it() -> None:
    older, newer = runs(case_scores(FIRST, assd_mm=np.nan, voxel_assd_mm=3.0), case_scores(SECOND, voxel_assd_mm=2.0))
    older = replace(
        older, metrics=("dice", "precision", "recall", "voxel_assd_mm"), scores=older.scores.assign(diagonal_mm=np.nan)
    )

    table = table_of([older, newer])

    assert rows_titled(table, "Voxel ASSD (mm)")[0][2:] == ("3.00 ± 0.00", "2.00 ± 0.00")
    assert rows_titled(table, "Voxel ASSD, penalised (mm)")[0][2:] == ("not recorded", "2.00 ± 0.00")
    assert "border voxels that count alike" in table.as_markdown()
    assert not any(group[0][0] == "ASSD (mm)" for group in table.groups)


def test_a_distance_that_one_run_lacks_is_not_recorded_and_not_compared() -> None:
    older, newer = runs()
    older = replace(older, metrics=("dice", "precision", "recall"))

    assert rows_titled(table_of([older, newer]), "ASSD (mm)")[0] == ("pancreas", "3", "not recorded", "1.00 ± 0.00")
    assert rows_titled(differences_of([older, newer]), "ASSD (mm)") == [("all", "not recorded", *["–"] * 6)]


def test_a_metric_that_one_run_lacks_has_no_paired_cases() -> None:
    older, newer = runs()
    rows = differences_to_first([replace(older, metrics=("dice",)), newer]).set_index(["metric", "form", "class"])

    for form in ("common cases", "penalised"):
        found = rows.loc[("assd_mm", form, "pancreas")]
        assert (found["is_recorded"], found["patients"], found["cases"], found["undefined"]) == (False, 0, 0, 0)
    assert rows.loc[("dice", "common cases", "pancreas"), "is_recorded"]


def test_metrics_on_request_come_after_the_usual_ones_if_a_run_has_them() -> None:
    usual, asked = runs()
    asked = replace(asked, metrics=(*asked.metrics, "lesion_f1", "mesh_distance_mm", "ece"))

    assert [(form.metric, form.is_penalised) for form in score_forms([usual, asked])] == [
        *((form.metric, form.is_penalised) for form in score_forms([usual])),
        ("lesion_f1", False),
        ("mesh_distance_mm", False),
        ("mesh_distance_mm", True),
        ("ece", False),
    ]


def test_size_speed_and_training_are_listed_below_the_scores() -> None:
    patients = {"a": "Ann", "b": "Ann"}
    compared = [replace(run, trainings=(replace(run.trainings[0], patients=patients),)) for run in runs()]
    facts = facts_of(table_of(compared))

    assert facts["Parameters"] == ("5.89 M", "6.41 M")
    assert facts["Forward (s)"] == ("0.167", "0.179")
    assert facts["Patch"] == ("160×160×96",) * 2
    assert facts["Training cases"] == ("8", "8")
    assert facts["Training patients"] == ("7", "7")
    assert facts["Epochs"] == ("12", "12")
    assert facts["Steps"] == ("288", "288")
    assert facts["Numeric precision"] == ("float32", "float32")
    assert facts["Seed"] == ("0", "0")


def test_facts_of_an_older_run_are_not_recorded() -> None:
    facts = facts_of(table_of(runs(trainings=(Training(),))))

    for name in ("Training cases", "Training patients", "Epochs", "Steps", "Numeric precision"):
        assert facts[name] == ("not recorded",) * 2


def test_every_table_says_that_training_cases_are_not_known() -> None:
    first, second = runs()
    unknown = [first, replace(second, trainings=(Training(),))]
    for table in (table_of(unknown), differences_of(unknown)):
        assert any(note.startswith(TRAINING_CASES_NOTE) and note.endswith(" attention.") for note in table.notes)
    assert not any(note.startswith(TRAINING_CASES_NOTE) for note in table_of(runs()).notes)


def test_phantom_data_are_marked() -> None:
    assert "(PHANTOM)" in table_of(runs()).title
    assert PHANTOM_NOTE in table_of(runs()).as_markdown()
    assert "PHANTOM" not in table_of(runs(is_phantom=False)).as_markdown()


def test_every_table_says_that_a_run_is_one_training_and_shows_the_caveats_of_the_runs() -> None:
    first, second = runs()
    compared = [first, replace(second, caveats=("18 test cases were trained on by its source.",))]

    for table in (table_of(compared), differences_of(compared)):
        assert "speaks of these trainings, not of the models" in table.as_markdown()
        assert "attention: 18 test cases were trained on by its source." in table.as_markdown()


def test_differences_besides_the_model_mark_every_title_and_have_a_table() -> None:
    first, second = runs()
    second = replace(second, settings={**second.settings, "loss.name": "dice", "loss.function.softmax": 0, "seed": 4})
    compared = [first, second]

    for table in (table_of(compared), differences_of(compared)):
        assert table.title.endswith("NOT ONLY THE MODEL DIFFERS: loss")
    settings = settings_table(compared, setting_differences(compared))
    assert settings.columns == ("Concerns", "Setting", "unet", "attention")
    assert settings.groups[0][0] == ("loss", "loss.name", "dice_ce", "dice")
    assert settings.groups[1] == (("seed (noted)", "seed", "0", "4"),)
    assert "DIFFER" not in table_of(runs()).title


def test_one_model_with_two_losses_is_titled_by_them() -> None:
    first = compared_run(name="loss=dice_ce")
    second = compared_run("second", {"loss.name": "dice", "loss.function.softmax": 0}, name="loss=dice")

    assert table_of([first, second]).title.endswith("one model (unet), differing in: loss")
    assert "Paired differences: loss=dice minus loss=dice_ce" in differences_of([first, second]).title


def test_every_number_is_in_a_row_of_run_metric_form_and_class() -> None:
    rows = comparison_rows(runs())

    assert len(rows) == 2 * 8 * 2
    found = rows.set_index(["run", "metric", "form", "class"]).loc[("unet", "dice", "common cases", "pancreas")]
    assert found["mean"] == pytest.approx(0.6)
    assert (found["patients"], found["cases"], found["undefined"], found["parameters"]) == (2, 2, 1, 5_888_004)
    assert (found["present"], found["detected"], found["invented"]) == (3, 2, 0)


def test_a_long_setting_is_shortened_to_60_characters() -> None:
    values = ("x" * 60, "x" * 61)
    table = settings_table(runs(), [SettingDifference("data.root", "data", values, is_refused=False)])
    assert table.groups[0][0][2:] == ("x" * 60, "x" * 59 + "…")


def test_differences_are_of_every_run_to_the_first() -> None:
    compared = [*runs(), replace(runs()[1], name="third")]

    differences = differences_to_first(compared)

    assert set(zip(differences["baseline"], differences["run"], strict=True)) == {
        ("unet", "attention"),
        ("unet", "third"),
    }
    rows = differences.set_index(["run", "metric", "form", "class"])
    of_pancreas = rows.loc[("attention", "dice", "common cases", "pancreas")]
    assert of_pancreas["mean"] == pytest.approx(0.15)
    assert (of_pancreas["patients"], of_pancreas["undefined"]) == (2, 1)


def test_a_table_of_differences_names_both_runs_and_shows_signs() -> None:
    baseline = np.linspace(0.4, 0.6, 6)
    compared = runs(case_scores(list(baseline)), case_scores(list(baseline + [0.1, 0.2, 0.1, 0.2, 0.1, 0.2])))
    table = differences_of(compared)

    assert table.title == "Paired differences: attention minus unet"
    assert table.columns == ("Metric", "Class", "Mean", "95 % interval", "p", "Holm", "sd", "n", "Left out")
    of_pancreas, of_spleen = rows_titled(table, "Dice")
    assert of_pancreas == ("pancreas", "+0.150", "[+0.100, +0.200]", "0.031", "0.062", "0.055", "6", "0")
    assert of_spleen[1:4] == ("+0.000", "[+0.000, +0.000]", "1.000")


def test_five_patients_have_neither_interval_nor_p() -> None:
    compared = runs(case_scores([0.1, 0.2, 0.3, 0.4, 0.5]), case_scores([0.2, 0.4, 0.4, 0.6, 0.6]))
    table = differences_of(compared)

    assert rows_titled(table, "Dice")[0] == ("pancreas", "+0.140", "–", "–", "–", "0.055", "5", "0")
    assert "below n = 6: too few patients" in table.as_markdown()


def test_tables_fit_a_terminal_of_100_columns_without_folding_a_cell() -> None:
    baseline = list(np.linspace(0.4, 0.6, 6))
    compared = runs(case_scores(baseline), case_scores([0.1, 0.9, 0.3, 0.4, 0.5, 0.2]))
    lines = printed(table_of(compared)).splitlines() + printed(differences_of(compared)).splitlines()

    assert max(map(len, lines)) <= 100
    assert any("0.500 ± 0.075" in line and "0.400 ± 0.283" in line for line in lines)
    assert any("pancreas" in line and "[" in line and "]" in line and "-0.100" in line for line in lines)


def test_pooled_folds_are_noted_in_the_table() -> None:
    folds = tuple(Training(train=frozenset("abcd"[: 3 + fold % 2]), epochs=12) for fold in range(5))
    pooled = [replace(run, trainings=folds) for run in runs()]
    text = printed(table_of(pooled))

    assert "Cross-validation" in text
    assert "one training per fold" in text
    facts = facts_of(table_of(pooled))
    assert (facts["Folds"], facts["Training cases"], facts["Epochs"]) == (("5", "5"), ("3–4", "3–4"), ("12", "12"))
    assert "Folds" not in printed(table_of(runs()))


@pytest.mark.parametrize(
    ("max_time", "steps", "is_noted"), [("00:01", 200, True), ("00:01", 287, False), (None, 200, False)]
)
def test_unequal_steps_within_a_limit_of_time_are_noted_on_every_table(
    max_time: str | None, steps: int, is_noted: bool
) -> None:
    limit = {"trainer.max_time": max_time}
    both = [compared_run(settings=limit), compared_run("second", settings=limit, training={"steps": steps})]
    notes = " ".join(run_notes(both))
    assert (f"took {steps} to 288 steps within trainer.max_time" in notes) == is_noted
