"""Regions that overlap are scored with all of their values, as if each were a label map of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nested_regions import LABELS, REGIONS, nested_label

from aunet.classes import IGNORED, Labels
from aunet.commands.main import main
from aunet.commands.score_options import parse_classes
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.foreign_cases import with_foreign_cases
from aunet.data.io.volume import write_label
from aunet.errors import UserError
from aunet.evaluation.cohort_scores import match_cases, match_classes, score_cohort
from aunet.evaluation.comparability import check_comparable
from aunet.evaluation.folder_scores import score_pairs
from aunet.evaluation.postprocessing_choice import PostprocessingChoice
from aunet.inference.class_names import read_class_names, write_class_names
from aunet.metrics.label_map_scores import Scoring, score_case
from aunet.metrics.overlap import dice
from aunet.training.validation_dice import score_dice
from tests.compared_runs import compared_run

SPACING = (1.0, 1.5, 3.0)
AFFINE = np.diag([*SPACING, 1.0])
SHAPE = (14, 12, 10)


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two nested tumours aside of each other, some voxels of the prediction exchanged."""
    draw = np.random.default_rng(seed)
    reference = nested_label(SHAPE, np.array(SHAPE) / 2, 5.0)
    prediction = nested_label(SHAPE, np.array(SHAPE) / 2 + draw.uniform(-1, 1, 3), 4.5)
    is_noise = draw.random(SHAPE) < 0.05
    return np.where(is_noise, draw.integers(0, 4, SHAPE), prediction).astype(np.uint8), reference


def of_masks(prediction: np.ndarray, reference: np.ndarray) -> pd.DataFrame:
    """Score each region as the only class of two binary label maps."""
    tables = []
    for name, values in REGIONS.items():
        masks = (np.isin(label, values).astype(np.uint8) for label in (prediction, reference))
        tables.append(score_case("a", *masks, SPACING, Labels(("background", name))))
    return pd.concat(tables, ignore_index=True)


def test_every_score_of_a_region_is_that_of_its_binary_masks() -> None:
    found = score_case("a", *pair(), SPACING, LABELS)
    pd.testing.assert_frame_equal(found, of_masks(*pair()))
    assert found["dice"].is_unique


def test_voxels_without_a_reference_are_in_no_region() -> None:
    prediction, reference = pair()
    ignoring = reference.copy()
    ignoring[..., :4] = IGNORED
    cut = np.where(ignoring == IGNORED, 0, prediction), np.where(ignoring == IGNORED, 0, reference)
    pd.testing.assert_frame_equal(score_case("a", prediction, ignoring, SPACING, LABELS), of_masks(*cut))


def test_a_region_that_a_case_does_not_annotate_is_undefined() -> None:
    scores = score_case("a", *pair(), SPACING, LABELS, frozenset({0, 1, 3})).set_index("class")
    assert scores["dice"].isna().to_dict() == {"whole": False, "core": True, "enhancing": False}


def test_the_validation_scores_regions_likewise() -> None:
    prediction, reference = pair()
    expected = [dice(np.isin(prediction, values), np.isin(reference, values)) for values in REGIONS.values()]
    assert score_dice(prediction, reference, [True] * 4, LABELS).values == pytest.approx(expected)


def test_the_choice_of_postprocessing_tries_whole_regions() -> None:
    prediction, reference = pair()
    choice = PostprocessingChoice(LABELS)
    choice.add(prediction, reference, 1.0)
    assert [means[()] for means in choice.mean_dice().values()] == pytest.approx(of_masks(*pair())["dice"].tolist())


def files(tmp_path: Path, numbers: list[int]) -> tuple[Path, Path]:
    """Write a prediction with class_names.json, and a reference whose values are ``numbers``."""
    prediction, reference = pair()
    write_label(tmp_path / "predicted" / "a.nii.gz", prediction, AFFINE)
    write_label(tmp_path / "labels" / "a.nii.gz", np.array(numbers, np.uint8)[reference], AFFINE)
    write_class_names(tmp_path / "predicted", LABELS)
    return tmp_path / "predicted", tmp_path / "labels"


def cohort_of(labels: Path, of: Labels = LABELS, numbers: tuple[int, ...] = (0, 1, 2, 3)) -> Cohort:
    classes = {value: index for index, value in enumerate(numbers)}
    case = Case("a", (Path("a.nii.gz"),), labels / "a.nii.gz")
    return Cohort("tumours", (case,), of, classes, "mr", "")


def test_predictions_are_scored_against_a_dataset_of_regions_with_other_values(tmp_path: Path) -> None:
    predicted, labels = files(tmp_path, [0, 40, 20, 30])
    names = read_class_names(predicted)
    assert names == LABELS
    cohort = cohort_of(labels, numbers=(0, 40, 20, 30))
    values = {name: LABELS.values_of(index) for index, name in LABELS.foreground}
    scores = score_cohort(match_cases(predicted, cohort)[0], match_classes(values, cohort), cohort)
    columns = ["class", "dice", "assd_mm", "reference_ml"]
    pd.testing.assert_frame_equal(scores[columns], of_masks(*pair())[columns])


def test_plain_classes_are_scored_against_regions_by_their_own_voxels(tmp_path: Path) -> None:
    predicted, labels = files(tmp_path, [0, 1, 2, 3])
    cohort = cohort_of(labels)
    scores = score_cohort(
        match_cases(predicted, cohort)[0], match_classes({"core": (2,)}, cohort), cohort, is_other_background=True
    )
    prediction, reference = pair()
    assert scores["dice"].tolist() == pytest.approx([dice(prediction == 2, reference >= 2)])


def test_folders_are_scored_by_the_values_that_each_region_lists(tmp_path: Path) -> None:
    predicted, labels = files(tmp_path, [0, 1, 2, 3])
    values = parse_classes(["whole=1+2+3", "core=2+3", "enhancing=3"])
    scores = score_pairs({"a": (predicted / "a.nii.gz", labels / "a.nii.gz")}, values)
    pd.testing.assert_frame_equal(scores[["class", "dice"]], of_masks(*pair())[["class", "dice"]])


def test_the_calibration_of_a_region_is_that_of_its_mask(tmp_path: Path) -> None:
    predicted, labels = files(tmp_path, [0, 1, 2, 3])
    draw, folder = np.random.default_rng(1), tmp_path / "probabilities" / "a"
    probabilities = [draw.random(SHAPE).astype(np.float32) for _ in REGIONS]
    folder.mkdir(parents=True)
    import nibabel

    for number, (name, values) in enumerate(zip(REGIONS, probabilities, strict=True), start=1):
        nibabel.Nifti1Image(values, AFFINE).to_filename(folder / f"{number:02d}_{name}.nii.gz")
    named = {"a": (predicted / "a.nii.gz", labels / "a.nii.gz")}
    scoring = Scoring(probabilities=tmp_path / "probabilities")
    scores = score_pairs(named, {name: tuple(of) for name, of in REGIONS.items()}, scoring=scoring)
    masks = [np.isin(pair()[1], values) for values in REGIONS.values()]
    expected = [float(np.square(p - mask).mean()) for p, mask in zip(probabilities, masks, strict=True)]
    assert scores["brier"].tolist() == pytest.approx(expected, abs=1e-6)


def test_folders_of_regions_need_their_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(folder) for folder in files(tmp_path, [0, 1, 2, 3])]
    assert main(["evaluate", *words, "--output", str(tmp_path / "scores")]) == 2
    assert "add --classes whole=1+2+3 core=2+3 enhancing=3" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize("word", ["whole=1+", "whole=+1", "whole=1+0", "whole=1+two", "whole=1+1"])
def test_a_class_of_several_values_lists_whole_numbers_once(word: str) -> None:
    with pytest.raises(UserError, match="--classes whole="):
        parse_classes([word])


def test_runs_on_regions_and_on_classes_are_not_compared() -> None:
    regions = [[1, 2], [2]]
    first, second = (compared_run(name, settings={"dataset.regions": of}) for name, of in (("a", None), ("b", regions)))
    with pytest.raises(UserError, match=r"one was scored on the regions None, the other on \[\[1, 2\], \[2\]\]"):
        check_comparable([first, second])
    check_comparable([second, replace(second, folder=Path("c"))])


def test_a_dataset_that_is_tested_must_have_the_same_regions(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path)
    classes = replace(cohort_of(tmp_path, Labels(LABELS.names)), name="other")
    with pytest.raises(UserError, match=r"whole = whole \+ core \+ enhancing.*Give both the same data\.target_regions"):
        with_foreign_cases(cohort, classes, ["data=other"])
