"""Folders of label maps, matched and scored, and what is said when they do not fit."""

import logging
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from aunet.classes import Labels
from aunet.data.io.volume import write_label
from aunet.errors import UserError
from aunet.evaluation.folder_scores import match_files, score_pairs
from aunet.metrics.case_scores import USUAL_METRICS
from aunet.metrics.label_map_scores import Scoring, score_case

SPACING = (1.0, 1.5, 3.0)
AFFINE = np.diag([*SPACING, 1.0])
LABELS = Labels(("background", "pancreas", "spleen"))
CLASSES = {"pancreas": (1,), "spleen": (2,)}


def random_label(seed: int, largest: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, largest + 1, size=(9, 8, 7)).astype(np.uint8)


def folders(tmp_path: Path, predictions: dict[str, np.ndarray], references: dict[str, np.ndarray]) -> tuple[Path, Path]:
    for folder, label_maps in (("predictions", predictions), ("references", references)):
        (tmp_path / folder).mkdir(parents=True)
        for name, label_map in label_maps.items():
            write_label(tmp_path / folder / name, label_map, AFFINE)
    return tmp_path / "predictions", tmp_path / "references"


def scored(tmp_path: Path, prediction: np.ndarray, reference: np.ndarray, **settings: object) -> pd.DataFrame:
    pairs = match_files(*folders(tmp_path, {"a.nii.gz": prediction}, {"a.nii.gz": reference}))
    return score_pairs(pairs, **settings)  # pyright: ignore[reportArgumentType]


def test_files_are_matched_by_name_whether_compressed_or_not(tmp_path: Path) -> None:
    predictions, references = folders(
        tmp_path,
        {"b.nii.gz": random_label(0), "a.nii": random_label(1)},
        {"a.nii.gz": random_label(2), "b.nii.gz": random_label(3)},
    )
    (references / "._a.nii.gz").write_bytes(b"left by another system")
    (references / "notes.txt").write_text("no label map", encoding="utf-8")

    assert match_files(predictions, references) == {
        "a": (predictions / "a.nii", references / "a.nii.gz"),
        "b": (predictions / "b.nii.gz", references / "b.nii.gz"),
    }


def test_a_label_map_named_after_the_first_channel_of_nnu_net_belongs_to_its_case(tmp_path: Path) -> None:
    label = random_label(0)
    predictions, references = folders(
        tmp_path,
        {"a_0000.nii.gz": label, "b.nii.gz": label, "b_0000.nii.gz": label},
        {"a.nii.gz": label, "b.nii.gz": label, "b_0000.nii.gz": label},
    )

    pairs = match_files(predictions, references)

    assert {case_id: prediction.name for case_id, (prediction, _) in pairs.items()} == {
        "a": "a_0000.nii.gz",
        "b": "b.nii.gz",
        "b_0000": "b_0000.nii.gz",
    }


def test_files_without_a_counterpart_are_listed(tmp_path: Path) -> None:
    label = random_label(0)
    here, there = folders(tmp_path, {"a.nii.gz": label}, {f"{name}.nii.gz": label for name in "abc"})

    with pytest.raises(UserError, match=r"predictions: no label map for 2 of .*references: b, c\."):
        match_files(here, there)


def test_predictions_without_a_reference_are_listed(tmp_path: Path) -> None:
    label = random_label(0)
    here, there = folders(tmp_path, {"a.nii.gz": label, "z.nii.gz": label}, {"a.nii.gz": label})

    with pytest.raises(UserError, match=r"references: no label map for 1 of .*predictions: z\."):
        match_files(here, there)


def test_a_missing_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        match_files(tmp_path / "nowhere", tmp_path)
    write_label(tmp_path / "a.nii", random_label(0), AFFINE)
    with pytest.raises(UserError, match=r"nowhere: no such folder; .*, or name a dataset: data=NAME data\.root=FOLDER"):
        match_files(tmp_path, tmp_path / "nowhere")
    (tmp_path / "a.nii").unlink()
    with pytest.raises(UserError, match="holds no file of a known format"):
        match_files(tmp_path, tmp_path)


def test_two_files_of_one_case_are_refused(tmp_path: Path) -> None:
    label = random_label(0)
    here, there = folders(tmp_path, {"a.nii.gz": label, "a.nii": label}, {"a.nii.gz": label})

    with pytest.raises(UserError, match=r"a\.nii and a\.nii\.gz name one case"):
        match_files(here, there)


def test_scores_of_files_are_those_of_their_arrays(tmp_path: Path) -> None:
    label_maps = {f"case_{number}": (random_label(number), random_label(10 + number)) for number in range(5)}
    here, there = folders(
        tmp_path,
        {f"{case_id}.nii.gz": pair[0] for case_id, pair in label_maps.items()},
        {f"{case_id}.nii.gz": pair[1] for case_id, pair in label_maps.items()},
    )

    scores = score_pairs(match_files(here, there), CLASSES)

    expected = [score_case(case_id, *pair, SPACING, LABELS) for case_id, pair in label_maps.items()]
    pd.testing.assert_frame_equal(scores, pd.concat(expected, ignore_index=True))


def test_without_names_every_value_found_anywhere_is_a_class_of_every_case(tmp_path: Path) -> None:
    empty = np.zeros((9, 8, 7), dtype=np.uint8)
    ten, two = empty.copy(), empty.copy()
    ten[2:4], two[2:4] = 10, 2
    here, there = folders(
        tmp_path,
        {"a.nii.gz": ten, "b.nii.gz": two, "c.nii.gz": empty},
        {"a.nii.gz": ten, "b.nii.gz": two, "c.nii.gz": empty},
    )

    scores = score_pairs(match_files(here, there))

    assert list(zip(scores["case_id"], scores["class"], strict=True)) == [
        (case_id, name) for case_id in "abc" for name in ("2", "10")
    ]
    rows = scores.set_index(["case_id", "class"])
    assert rows.loc[("a", "10"), "dice"] == 1
    assert rows.loc[[("a", "2"), ("b", "10"), ("c", "2"), ("c", "10")], list(USUAL_METRICS)].isna().to_numpy().all()
    assert rows.loc[("c", "2"), "reference_ml"] == 0
    assert (scores["patient"] == scores["case_id"]).all()
    assert scores["diagonal_mm"].nunique() == 1
    assert scores["diagonal_mm"].notna().all()


def test_a_class_that_a_case_lacks_has_its_tolerance_and_the_cases_diagonal(tmp_path: Path) -> None:
    both, first_alone = random_label(0), np.minimum(random_label(1), 1)
    files = {"a.nii.gz": both, "b.nii.gz": first_alone[:5]}
    scoring = Scoring({"2": 5.0}, tolerance_mm=1.0)
    scores = score_pairs(match_files(*folders(tmp_path, files, files)), scoring=scoring)

    assert list(zip(scores["case_id"], scores["class"], scores["tolerance_mm"], strict=True)) == [
        ("a", "1", 1.0),
        ("a", "2", 5.0),
        ("b", "1", 1.0),
        ("b", "2", 5.0),
    ]
    spacing = np.linalg.norm(AFFINE[:3, :3], axis=0)
    diagonals = [np.linalg.norm(spacing * shape) for shape in ((9, 8, 7), (5, 8, 7))]
    assert scores["diagonal_mm"].tolist() == pytest.approx(np.repeat(diagonals, 2))
    assert scores["patient"].tolist() == ["a", "a", "b", "b"]
    assert scores.loc[3, ["reference_ml", "predicted_ml"]].tolist() == [0, 0]


def test_a_value_that_only_predictions_hold_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reference = random_label(0, largest=1)

    with caplog.at_level(logging.WARNING):
        scored(tmp_path, reference * 255, reference)

    assert "value 255 is in predictions only" in caplog.text


def test_many_values_in_one_side_only_are_said_to_number_objects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objects = random_label(0, largest=12)

    with caplog.at_level(logging.WARNING):
        scored(tmp_path / "found", objects, (objects > 0).astype(np.uint8))
        scored(tmp_path / "missed", (objects > 0).astype(np.uint8), objects)

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert told[0].startswith("values 2, 3, 4, 5, 6 and 6 more are in predictions only")
    assert told[1] == told[2]
    assert "each of 12 values counts as a class. If they number objects of one class, add --classes NAME=any" in told[1]


def test_a_value_without_a_name_is_refused_unless_taken_as_background(tmp_path: Path) -> None:
    prediction, reference = random_label(0, largest=2), random_label(1, largest=2)
    prediction[0, 0, 0] = 77
    prediction_of_two = np.where(prediction == 77, 0, prediction)

    with pytest.raises(UserError, match=r"a\.nii\.gz .*\[77\].*pancreas=1 spleen=2.*--others-are-background"):
        scored(tmp_path / "strict", prediction, reference, values_of_class=CLASSES)

    scores = scored(tmp_path / "free", prediction, reference, values_of_class=CLASSES, is_other_background=True)
    pd.testing.assert_frame_equal(scores, score_case("a", prediction_of_two, reference, SPACING, LABELS))


def test_label_maps_of_different_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"case a: .*\(9, 8, 7\).*\(9, 8, 6\)"):
        scored(tmp_path, random_label(0)[..., :-1], random_label(1))


def test_label_maps_at_different_places_are_refused(tmp_path: Path) -> None:
    here, there = folders(tmp_path, {}, {"a.nii.gz": random_label(0)})
    write_label(here / "a.nii.gz", random_label(0), np.diag([1.0, 1.5, 3.2, 1.0]))

    with pytest.raises(UserError, match=r"case a: .*affines"):
        score_pairs(match_files(here, there))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    here, there = folders(tmp_path, {"a.nii.gz": random_label(0)}, {"a.nii.gz": random_label(0)})
    (here / "a.nii.gz").write_bytes((here / "a.nii.gz").read_bytes()[:150])

    with pytest.raises(UserError, match=r"predictions/a\.nii\.gz"):
        score_pairs(match_files(here, there))


def test_folders_of_empty_label_maps_hold_no_class(tmp_path: Path) -> None:
    empty = np.zeros((4, 4, 4), dtype=np.uint8)

    with pytest.raises(UserError, match="there is no class to score"):
        scored(tmp_path, empty, empty)


@pytest.mark.parametrize("axes", ["RAS", "PIL", "SRA"])
def test_predictions_in_another_axis_order_or_format_are_scored_alike(axes: str, tmp_path: Path) -> None:
    affine = np.diag([-1.5, -1.5, 3.0, 1.0])
    reference = np.random.default_rng(0).integers(0, 3, (6, 5, 4)).astype(np.uint8)
    image = nibabel.Nifti1Image(np.roll(reference, 1, 0), affine)
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(tuple(axes))
    )
    (tmp_path / "turned").mkdir()
    image.as_reoriented(turn).to_filename(tmp_path / "turned" / "a.nii")
    for folder, label in (("ref", reference), ("same", np.roll(reference, 1, 0))):
        write_label(tmp_path / folder / "a.nii.gz", label, affine)
    same, turned = (score_pairs(match_files(tmp_path / name, tmp_path / "ref")) for name in ("same", "turned"))
    pd.testing.assert_frame_equal(same, turned)


def test_annotations_without_reference_are_not_scored_in_folders_either(tmp_path: Path) -> None:
    prediction, reference = random_label(0), random_label(1)
    outside = np.random.default_rng(2).random(reference.shape) < 0.3
    marked, known = np.where(outside, 9, reference).astype(np.uint8), {**CLASSES, "ignore": (9,)}
    found = scored(tmp_path, prediction, marked, values_of_class=known)
    assert list(found["class"]) == list(CLASSES)
    for name, (value,) in CLASSES.items():
        inside = (prediction == value) & ~outside, (reference == value) & ~outside
        expected = 2 * (inside[0] & inside[1]).sum() / (inside[0].sum() + inside[1].sum())
        assert found.loc[found["class"] == name, "dice"].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "classes", [{"ignore": (1,)}, {"spleen": (2,), "ignore": (2, 9)}, {"a": (255,), "ignore": (1,)}]
)
def test_annotations_ignored_and_scored_at_once_are_refused(
    classes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"--classes: ignore=.*needs classes beside it"):
        scored(tmp_path, random_label(0), random_label(1), values_of_class=classes, is_other_background=True)


def test_a_file_in_place_of_a_folder_is_named_with_the_table_to_give(tmp_path: Path) -> None:
    here, there = folders(tmp_path, {"a.nii.gz": random_label(0)}, {"a.nii.gz": random_label(1)})
    with pytest.raises(UserError, match=r"a\.nii\.gz: a file, not a folder; .*a CSV file with the columns prediction"):
        match_files(here / "a.nii.gz", there)
