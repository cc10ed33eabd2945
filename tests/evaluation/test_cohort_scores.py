"""Predictions scored against a dataset whose classes and values are others."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from aunet.classes import IGNORED, Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.io.volume import write_label
from aunet.errors import UserError
from aunet.evaluation.cohort_scores import ignore_values, match_cases, match_classes, score_cohort
from aunet.evaluation.folder_scores import score_pairs
from aunet.metrics.case_scores import USUAL_METRICS, count_cases
from aunet.metrics.label_map_scores import Scoring, score_case

AFFINE = np.diag([1.0, 1.5, 3.0, 1.0])
SPACING = (1.0, 1.5, 3.0)
PREDICTED = {"Kidney": (1,), "pancreas": (2,), "spleen": (3,)}


def random_label(seed: int, values: list[int]) -> np.ndarray:
    return np.random.default_rng(seed).choice(values, size=(9, 8, 7)).astype(np.uint8)


def cohort_of(tmp_path: Path, annotated: frozenset[int] | None = None) -> Cohort:
    """Values 10 spleen, 20 and 30 kidney, 40 liver; cases a and b, whose images are called scan_a and scan_b."""
    for number, name in enumerate("ab"):
        write_label(tmp_path / "labels" / f"{name}.nii.gz", random_label(number, [0, 10, 20, 30, 40]), AFFINE)
    return Cohort(
        name="other",
        cases=tuple(
            Case(name, (Path(f"scan_{name}.nii.gz"),), tmp_path / "labels" / f"{name}.nii.gz", annotated=annotated)
            for name in "ab"
        ),
        labels=Labels(("background", "spleen", "kidney", "liver")),
        class_of_value={0: 0, 10: 1, 20: 2, 30: 2, 40: 3},
        modality="ct",
        description="",
    )


def predictions(tmp_path: Path, **label_maps: np.ndarray) -> Path:
    for name, label_map in label_maps.items():
        write_label(tmp_path / "predictions" / f"{name}.nii.gz", label_map, AFFINE)
    return tmp_path / "predictions"


def test_common_classes_are_scored_as_if_both_sides_had_the_same_values(tmp_path: Path) -> None:
    cohort, predicted = cohort_of(tmp_path), random_label(9, [0, 1, 2, 3])
    pairs, _ = match_cases(predictions(tmp_path, a=predicted), cohort)
    scores = score_cohort(pairs, match_classes(PREDICTED, cohort), cohort)

    ours = np.array([0, 2, 0, 1], np.uint8)[predicted]
    theirs = np.zeros((9, 8, 7), np.uint8)
    reference = random_label(0, [0, 10, 20, 30, 40])
    theirs[reference == 10], theirs[(reference == 20) | (reference == 30)] = 1, 2
    expected = score_case("a", ours, theirs, SPACING, Labels(("background", "spleen", "kidney")))
    assert scores.equals(expected)


def test_each_row_names_the_patient_of_its_case(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path)
    cases = tuple(replace(case, group="patient 7") for case in cohort.cases)
    files = predictions(tmp_path, a=random_label(9, [0, 1]), b=random_label(8, [0, 1]))
    pairs, _ = match_cases(files, replace(cohort, cases=cases))
    scores = score_cohort(pairs, match_classes(PREDICTED, cohort), cohort)
    assert set(scores["patient"]) == {"patient 7"}
    assert count_cases(scores) == "2 cases of 1 patient"


def test_classes_and_cases_left_out_are_reported(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path)
    assert match_classes(PREDICTED, cohort).left_out == (
        "liver is not among the predicted classes",
        "pancreas is not annotated by other",
    )
    _, note = match_cases(predictions(tmp_path, a=random_label(0, [0])), cohort)
    assert note == "1 cases have no prediction: b"


def test_a_class_that_the_dataset_lists_but_does_not_annotate_is_left_out(tmp_path: Path) -> None:
    classes = match_classes(PREDICTED, cohort_of(tmp_path, annotated=frozenset({0, 1})))
    assert list(classes.values) == ["spleen"]
    assert "Kidney is not annotated by other" in classes.left_out


def test_a_case_that_does_not_annotate_a_class_leaves_it_undefined(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path)
    partial = Case("b", (Path("b.nii"),), cohort.cases[1].label, annotated=frozenset({0, 1, 3}))
    cohort = Cohort(**{**vars(cohort), "cases": (cohort.cases[0], partial)})
    files = predictions(tmp_path, a=random_label(3, [0, 1, 3]), b=random_label(4, [0, 1, 3]))
    scores = score_cohort(match_cases(files, cohort)[0], match_classes(PREDICTED, cohort), cohort)
    rows = scores.set_index(["case_id", "class"])
    assert rows.loc[[("b", "kidney")], [*USUAL_METRICS, "reference_ml"]].isna().all(axis=None)
    assert rows.loc[[("a", "kidney"), ("b", "spleen")], "dice"].notna().all()


def test_label_maps_may_be_named_as_their_images(tmp_path: Path) -> None:
    pairs, _ = match_cases(predictions(tmp_path, scan_b=random_label(0, [0])), cohort_of(tmp_path))
    assert [case.case_id for _, case in pairs] == ["b"]


def test_a_label_map_of_no_case_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 of 2 label maps are of no case of other: c\."):
        match_cases(predictions(tmp_path, a=random_label(0, [0]), c=random_label(0, [0])), cohort_of(tmp_path))


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"classes aorta, other annotates spleen, kidney, liver: none in common"):
        match_classes({"aorta": (1,)}, cohort_of(tmp_path))


def test_a_value_without_a_name_is_refused_unless_taken_as_background(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path)
    pairs, _ = match_cases(predictions(tmp_path, a=random_label(9, [0, 1, 77])), cohort)
    classes = match_classes(PREDICTED, cohort)
    with pytest.raises(UserError, match=r"a\.nii\.gz: holds the values \[77\]"):
        score_cohort(pairs, classes, cohort)
    assert len(score_cohort(pairs, classes, cohort, is_other_background=True)) == 2


def test_probabilities_are_held_against_the_datasets_own_values_and_ignored_voxels_do_not_count(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path)
    cohort = replace(cohort, class_of_value={**cohort.class_of_value, 40: IGNORED})
    files = predictions(tmp_path, a=random_label(9, [0, 1, 2, 3]))
    probabilities = np.random.default_rng(5).random((2, 9, 8, 7)).astype(np.float32)
    for name, values in zip(("01_Kidney", "03_spleen"), probabilities, strict=True):
        (tmp_path / "p" / "a").mkdir(parents=True, exist_ok=True)
        nibabel.Nifti1Image(values, AFFINE).to_filename(tmp_path / "p" / "a" / f"{name}.nii.gz")

    classes = match_classes(PREDICTED, cohort)
    scoring = Scoring(probabilities=tmp_path / "p")
    scores = score_cohort(match_cases(files, cohort)[0], classes, cohort, scoring=scoring).set_index("class")

    reference = random_label(0, [0, 10, 20, 30, 40])
    for name, values, members in (("kidney", probabilities[0], (20, 30)), ("spleen", probabilities[1], (10,))):
        squared = (values.astype(float) - np.isin(reference, members)) ** 2
        assert scores.loc[name, "brier"] == pytest.approx(squared[reference != 40].mean(), rel=1e-5)


@pytest.mark.parametrize("value", [50, 255])
def test_an_ignored_value_of_the_references_counts_as_folder_to_folder(value: int, tmp_path: Path) -> None:
    cohort, classes = cohort_of(tmp_path), {"kidney": (20,), "spleen": (10,), "ignore": (value,)}
    cohort = replace(cohort, cases=cohort.cases[:1])
    write_label(tmp_path / "labels" / "a.nii.gz", random_label(0, [0, 10, 20, value]), AFFINE)
    files = predictions(tmp_path, a=random_label(9, [0, 10, 20, value]))

    ignoring = ignore_values(classes, cohort)
    matched = match_classes(classes, ignoring)
    scores = score_cohort(match_cases(files, cohort)[0], matched, ignoring).set_index("class")

    assert matched.left_out == ("liver is not among the predicted classes",)
    expected = score_pairs({"a": (files / "a.nii.gz", tmp_path / "labels" / "a.nii.gz")}, classes).set_index("class")
    pd.testing.assert_frame_equal(scores.loc[expected.index, [*USUAL_METRICS]], expected[[*USUAL_METRICS]])


@pytest.mark.parametrize(
    ("classes", "rule"),
    [
        ({"kidney": (1,), "ignore": (20,)}, "ignore=20 is the value of kidney in other"),
        ({"kidney": (9,), "ignore": (9,)}, "none of which has one of its values"),
        ({"ignore": (9,)}, "needs classes beside it"),
    ],
)
def test_a_value_that_is_ignored_and_of_a_class_is_refused(
    classes: dict[str, tuple[int, ...]], rule: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rule):
        ignore_values(classes, cohort_of(tmp_path))


def test_a_value_is_not_ignored_among_the_numbers_of_objects(tmp_path: Path) -> None:
    cohort = replace(cohort_of(tmp_path), has_instances=True)
    with pytest.raises(UserError, match="number objects"):
        ignore_values({"kidney": (1,), "ignore": (9,)}, cohort)
