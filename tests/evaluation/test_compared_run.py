"""Runs of a comparison, read from their folders, those of older versions too."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_runs import RECORD, case_scores, with_settings, write_run

from aunet.errors import UserError
from aunet.evaluation.compared_run import ComparedRun, flatten, read_compared_run, read_record
from aunet.metrics.case_scores import USUAL_METRICS


def read(folder: Path, **settings: object) -> ComparedRun:
    return read_compared_run(folder, read_record(folder), with_settings(settings))


VOLUMES = ("reference_ml", "predicted_ml")


def older(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the table that f8e6fcc wrote."""
    renamed = scores.rename(columns={"voxel_assd_mm": "surface_distance_mm"})
    return renamed[["case_id", "class", "dice", "precision", "recall", "surface_distance_mm", *VOLUMES]]


def test_a_finished_run_is_read_from_its_folder(tmp_path: Path) -> None:
    splits = {"train": ["a", "b"], "val": ["c"], "test": ["case_0"], "patients": {"a": "Ann"}, "digests": {}}
    folder = write_run(tmp_path / "run", case_scores([0.5]), splits=splits, caveats=["Two test cases were trained on."])

    run = read(folder)

    pd.testing.assert_frame_equal(run.scores, case_scores([0.5]))
    assert (run.model, run.seed, run.parameters, run.patch_size) == ("unet", 0, 5_888_004, (8, 8, 8))
    assert (run.unit, run.metrics) == ("patient", USUAL_METRICS)
    assert run.caveats == ("Two test cases were trained on.",)
    assert run.settings["loss.name"] == "dice_ce"
    [training] = run.trainings
    assert (training.train, training.val, training.patients) == (frozenset("ab"), frozenset("c"), {"a": "Ann"})
    assert (training.epochs, training.steps, training.precision) == (12, 288, "float32")


def test_the_machine_the_extension_and_the_cost_of_a_run_are_read(tmp_path: Path) -> None:
    machine = {"processor": "Xeon", "gpus": ["H100", "H200"], "cores": 2}
    versions = {"torch": "2.8.0", "monai": "1.5.1", "numpy": "2.0"}
    facts = {"hardware": machine, "versions": versions, "commit": "2db2c42", "extended_from_epochs": 6}
    splits = {"train": ["a"], "val": ["b"], "test": ["case_0"]}
    run = read(write_run(tmp_path / "new", case_scores([0.5]), splits=splits, **facts))
    bare = read(write_run(tmp_path / "old", case_scores([0.5]), hardware={"gpus": []}, gflop=None))

    expected = {"commit": "2db2c42", "torch": "2.8.0", "monai": "1.5.1", "processor": "Xeon", "GPUs": "H100, H200"}
    [training] = run.trainings
    assert training.environment == expected
    assert (training.extended_from, training.test, run.gflop) == (6, frozenset({"case_0"}), 12.5)
    assert bare.trainings[0].environment == {}
    assert np.isnan(bare.gflop)
    assert (run.folder, run.name, run.num_folds) == (tmp_path / "new", "unet", 1)
    assert (run.data, run.data_fingerprint, run.is_phantom) == ("ct150", "f00d", True)


def test_facts_that_an_older_run_lacks_are_not_recorded(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", older(case_scores([0.5, 0.7])))
    (folder / "run.json").write_text(json.dumps({key: RECORD[key] for key in list(RECORD)[:9]}))
    (folder / "splits.json").unlink()

    run = read(folder)

    assert (run.unit, run.metrics) == ("case", ("dice", "precision", "recall", "voxel_assd_mm"))
    [training] = run.trainings
    assert (training.train, training.patients, training.epochs, training.steps, training.precision) == (None,) * 5


def test_the_epochs_of_an_older_run_are_the_rows_of_its_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", case_scores([0.5]))
    (folder / "run.json").write_text(json.dumps({key: RECORD[key] for key in list(RECORD)[:9]}))
    (folder / "metrics.csv").write_text("epoch,train/loss\n0,0.9\n1,0.8\n2,0.7\n")

    assert read(folder).trainings[0].epochs == 3


def test_distances_of_an_older_run_in_2d_are_not_recorded(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", older(case_scores([0.5])))

    assert read(folder, **{"dataset.spatial_dims": 2}).metrics == ("dice", "precision", "recall")


@pytest.mark.parametrize(
    ("recorded", "group", "expected", "unit"),
    [
        (["Ann", "Ann", "Bob"], None, ["Ann", "Ann", "Bob"], "patient"),
        (["", "", ""], None, ["", "", ""], "case"),
        (["case_0", "case_1", "case_2"], r"\d", ["0", "1", "2"], "group"),
        (["", "", ""], "case", ["case"] * 3, "group"),
        (["Ann", "Ann", "Bob"], "case", ["Ann", "Ann", "Bob"], "patient"),
    ],
    ids=["recorded", "not recorded", "cases that are grouped", "older and grouped", "recorded and grouped"],
)
def test_the_unit_is_the_patient_else_the_group_else_the_case(
    recorded: list[str], group: str | None, expected: list[str], unit: str, tmp_path: Path
) -> None:
    splits = {"train": ["a"], "val": ["b"], "test": ["case_0"]}
    folder = write_run(tmp_path / "run", case_scores([0.5, 0.6, 0.7], recorded), splits=splits)

    run = read(folder, **{"data.split.group": group})

    assert run.unit == unit
    assert run.scores["patient"].tolist() == list(np.repeat(expected, 2))


def test_patients_of_an_older_table_are_those_of_the_splits(tmp_path: Path) -> None:
    splits = {"train": ["a"], "val": ["b"], "test": ["case_0", "case_1"], "patients": {"case_1": "Ann"}}
    folder = write_run(tmp_path / "run", older(case_scores([0.5, 0.6])), splits=splits)

    assert read(folder).scores["patient"].tolist() == ["case_0", "case_0", "Ann", "Ann"]


def test_a_table_that_evaluate_wrote_anew_gets_the_patients_of_the_splits(tmp_path: Path) -> None:
    splits = {"train": ["a"], "val": ["b"], "test": ["case_0"], "patients": {"case_0": "Ann", "case_1": "Ann"}}
    folder = write_run(tmp_path / "run", case_scores([0.5, 0.6]), splits=splits)

    assert set(read(folder).scores["patient"]) == {"Ann"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_damaged_metrics_of_an_older_run_are_refused(content: bytes, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", case_scores([0.5]))
    (folder / "run.json").write_text(json.dumps({key: RECORD[key] for key in list(RECORD)[:9]}))
    (folder / "metrics.csv").write_bytes(content)

    with pytest.raises(UserError, match=r"metrics\.csv: not a table of epochs"):
        read(folder)


@pytest.mark.parametrize(("key", "value"), [("class_names", None), ("computing", None), ("caveats", "one")])
def test_a_record_of_other_types_is_refused(key: str, value: object, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", case_scores([0.5]), **{key: value})

    with pytest.raises(UserError, match=rf"run\.json: {key} must be a"):
        read_record(folder)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("class_names", ["background", 1], r"must list texts, not \['background', 1\]\. Restore the run's own file\."),
        ("patch_size", [8, "8"], "must list numbers"),
        ("caveats", [None], "must list texts"),
        ("seed", "0", "must be a whole number, not '0'. Restore the run's own file."),
        ("is_phantom", 1.5, "must be a truth value"),
        ("gflop", "many", "must be a number"),
        ("epochs", 1.5, "must be a whole number"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_rule(key: str, value: object, rule: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", case_scores([0.5]), **{key: value})

    with pytest.raises(UserError, match=rf"run\.json: {key} {rule}"):
        read_record(folder)


def test_every_key_that_a_record_lacks_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", case_scores([0.5]))
    kept = {key: value for key, value in RECORD.items() if key not in ("seed", "patch_size", "steps")}
    (folder / "run.json").write_text(json.dumps(kept))

    with pytest.raises(UserError, match=r"run\.json: lacks seed, patch_size; was the run made by an older version\?"):
        read_record(folder)


def test_an_unfinished_run_is_refused_with_the_way_to_finish_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", case_scores([0.5]), status="interrupted")

    with pytest.raises(UserError, match=r"'interrupted'.*resume="):
        read_record(folder)


def test_the_folder_of_a_sweep_is_refused_with_the_runs_in_it(tmp_path: Path) -> None:
    inner = write_run(tmp_path / "sweep" / "unet", case_scores([0.5]))

    with pytest.raises(UserError, match=r"no run\.json") as told:
        read_record(tmp_path / "sweep")

    assert str(inner) in str(told.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{", "not valid JSON"), ("[]", "not a JSON object"), ('{"status": "finished"}', "lacks data")],
)
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    folder = write_run(tmp_path / "run", case_scores([0.5]))
    (folder / "run.json").write_text(text, encoding="utf-8")

    with pytest.raises(UserError, match=expected):
        read_record(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not valid JSON"),
        ('{"train": ["a"]}', "must each be a list"),
        ('{"train": [["a"]], "val": [], "test": []}', "must each be a list"),
        ('{"train": ["a"], "val": [], "test": [], "patients": ["a"]}', "'patients' must map"),
    ],
)
def test_damaged_splits_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    folder = write_run(tmp_path / "run", case_scores([0.5]))
    (folder / "splits.json").write_text(text, encoding="utf-8")

    with pytest.raises(UserError, match=expected):
        read(folder)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda scores: scores.iloc[:-1], "lacks a row of case case_1, class spleen"),
        (
            lambda scores: scores.replace({"class": {"spleen": "liver"}}),
            "should not have a row of case case_0, class liver",
        ),
        (lambda scores: scores.iloc[:0], "holds no row"),
    ],
    ids=["cut off", "another class", "empty"],
)
def test_scores_without_a_row_for_each_case_and_class_are_refused(
    tmp_path: Path, damage: Callable[[pd.DataFrame], pd.DataFrame], expected: str
) -> None:
    folder = write_run(tmp_path / "run", damage(case_scores([0.5, 0.7])))

    with pytest.raises(UserError, match=f"case_scores.csv: {expected}"):
        read(folder)


def test_settings_are_flattened_to_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}
