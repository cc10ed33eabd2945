"""`aunet evaluate` from words to files, on made-up label maps and on real ones."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from aunet.commands.evaluate import add_arguments, evaluate
from aunet.commands.score_options import parse_classes, parse_scoring
from aunet.data.io.volume import read_label, write_label
from aunet.errors import UserError
from aunet.metrics.case_scores import has_patients, read_case_scores
from aunet.pipeline.configuration import build_cohort_of_words

MULTIORGAN = Path(__file__).parents[3] / "shared" / "data" / "multiorgan"
ORGANS = {
    "spleen": 1,
    "pancreas": 2,
    "left_kidney": 3,
    "gallbladder": 4,
    "oesophagus": 5,
    "liver": 6,
    "stomach": 7,
    "duodenum": 8,
}


def run(*words: str | Path) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    evaluate(parser.parse_args([str(word) for word in words]))


def write_cubes(folder: Path, start: int) -> Path:
    """Cases a and b: a cube of value 1, four voxels wide, that starts at ``start``; b is empty in ``references``."""
    label = np.zeros((12, 12, 12), dtype=np.uint8)
    label[start : start + 4, 2:6, 2:6] = 1
    write_label(folder / "a.nii.gz", label, np.diag([2.0, 1.0, 1.0, 1.0]))
    write_label(folder / "b.nii.gz", label * (folder.name != "references"), np.diag([2.0, 1.0, 1.0, 1.0]))
    return folder


def test_scores_are_written_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, references = write_cubes(tmp_path / "predictions", 3), write_cubes(tmp_path / "references", 2)

    run(predictions, references, "--output", tmp_path / "scores", "--classes", "cube=1")

    scores = read_case_scores(tmp_path / "scores" / "case_scores.csv").set_index(["case_id", "class"])
    assert scores.loc[("a", "cube"), ["dice", "precision", "recall"]].tolist() == [0.75, 0.75, 0.75]
    assert scores.loc[("a", "cube"), "reference_ml"] == pytest.approx(0.128)
    assert scores.loc[("b", "cube"), "dice"] == 0
    assert np.isnan(scores.loc[("b", "cube"), "recall"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "0.375 ± 0.530" in printed
    assert "of a class missing from a prediction" in printed


def test_patients_of_folders_are_not_recorded(tmp_path: Path) -> None:
    predictions, references = write_cubes(tmp_path / "predictions", 3), write_cubes(tmp_path / "references", 2)

    run(predictions, references, "--output", tmp_path / "scores")

    assert not has_patients(read_case_scores(tmp_path / "scores" / "case_scores.csv"))
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert (summary["cases"], summary["patients"]) == (2, None)


def test_discs_in_pictures_are_as_far_as_their_contours(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:100, :100]
    for folder, middle in (("predictions", 51), ("references", 45)):
        disc = ((rows - 50) ** 2 + (columns - middle) ** 2 <= 25**2).astype(np.uint8)
        (tmp_path / folder).mkdir()
        Image.fromarray(disc).save(tmp_path / folder / "a.png")

    run(tmp_path / "predictions", tmp_path / "references", "--output", tmp_path / "scores")

    scores = read_case_scores(tmp_path / "scores" / "case_scores.csv")
    # Brute force over all pairs of border pixels yields 3.61.
    assert scores.loc[0, "assd_mm"] == pytest.approx(3.61, abs=0.1)
    assert scores.loc[0, "voxel_assd_mm"] == pytest.approx(3.61, abs=0.01)
    assert scores.loc[0, "diagonal_mm"] == pytest.approx(100 * np.sqrt(2))


def test_a_missed_organ_lowers_the_detections_and_the_penalised_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references, predictions = write_cubes(tmp_path / "found", 2), write_cubes(tmp_path / "predictions", 2)
    write_label(predictions / "b.nii.gz", np.zeros((12, 12, 12), dtype=np.uint8), np.diag([2.0, 1.0, 1.0, 1.0]))

    run(predictions, references, "--output", tmp_path / "scores")

    of_class = json.loads((tmp_path / "scores" / "summary.json").read_text(encoding="utf-8"))["scores"]["1"]
    assert of_class["detection"] == {"present": 2, "detected": 1, "invented": 0}
    assert (of_class["assd_mm"]["mean"], of_class["assd_mm"]["count"]) == (0, 1)
    assert of_class["assd_mm"]["penalised_mean"] == pytest.approx(12 * np.sqrt(6) / 2)
    assert of_class["precision"]["penalised_mean"] == 0.5
    printed = capsys.readouterr().out
    assert "1/2" in printed
    assert max(map(len, printed.splitlines())) <= 140


def test_the_summary_counts_what_is_undefined(tmp_path: Path) -> None:
    predictions, references = write_cubes(tmp_path / "predictions", 3), write_cubes(tmp_path / "references", 2)

    run(predictions, references, "--output", tmp_path / "scores")

    summary = json.loads((tmp_path / "scores" / "summary.json").read_text(encoding="utf-8"))
    assert summary["cases"] == 2
    assert summary["scores"]["1"]["recall"] == {
        "mean": 0.75,
        "sd": None,
        "count": 1,
        "undefined": 1,
        "penalised_mean": 0.375,
    }


@pytest.mark.parametrize(
    "word", ["spleen", "spleen=", "=1", "spleen=one", "spleen=0", "spleen=-1", "spleen=1.5", "=any"]
)
def test_a_class_that_is_not_a_name_and_a_whole_number_is_refused(word: str) -> None:
    with pytest.raises(UserError, match=f"--classes {word}: write NAME=VALUE"):
        parse_classes([word])


@pytest.mark.parametrize("word", ["spleen=2", "liver=1"])
def test_a_repeated_name_or_value_is_refused(word: str) -> None:
    with pytest.raises(UserError, match="appears twice"):
        parse_classes(["spleen=1", word])


def test_numbered_objects_are_scored_as_one_class(tmp_path: Path) -> None:
    """Rows 0 to 5 against rows 0 to 3, each with numbers of its own: Dice 2 * 4 / (6 + 4)."""
    for folder, values in (("predictions", (7, 7, 7, 300, 300, 300, 0, 0)), ("references", (1, 2, 3, 4, 0, 0, 0, 0))):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.repeat(np.array([values], np.uint16).T, 8, axis=1)).save(tmp_path / folder / "a.png")

    words = ("--output", tmp_path / "scores", "--classes", "nucleus=any")
    run(tmp_path / "predictions", tmp_path / "references", *words)

    scores = read_case_scores(tmp_path / "scores" / "case_scores.csv")
    assert scores["class"].tolist() == ["nucleus"]
    assert scores.loc[0, "dice"] == pytest.approx(0.8)


def test_a_class_of_any_value_allows_no_other() -> None:
    with pytest.raises(UserError, match=r"--classes nucleus=any: .* must be the only one"):
        parse_classes(["cell=1", "nucleus=any"])


def test_classes_keep_their_order() -> None:
    assert list(parse_classes(["spleen=3", "liver=1"]).items()) == [("spleen", (3,)), ("liver", (1,))]


def test_predictions_without_names_need_classes_to_be_scored_on_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no class_names.json says .*--classes"):
        run(write_cubes(tmp_path, 2), "data=msd", "data.root=nowhere", "--output", tmp_path)


@pytest.mark.parametrize("word", ["model=unet", "somewhere"])
def test_beside_a_dataset_only_its_settings_are_accepted(tmp_path: Path, word: str) -> None:
    with pytest.raises(UserError, match=f"{word}: beside a dataset only its settings"):
        run(write_cubes(tmp_path, 2), "data=msd", word, "--output", tmp_path, "--classes", "cube=1")


def test_two_folders_of_references_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give one folder of references"):
        run(tmp_path, tmp_path, "second", "--output", tmp_path)


def distance_by_transforms(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...]) -> float:
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (first, second)]
    to_first, to_second = (ndimage.distance_transform_edt(~border, sampling=spacing) for border in borders)
    return float(np.concatenate([to_second[borders[0]], to_first[borders[1]]]).mean())


def check_organ(row: pd.Series, case_id: str, value: int) -> None:
    """Compare a row with scores of the whole, uncropped files by SciPy's distance transforms."""
    images = [nibabel.load(MULTIORGAN / folder / f"{case_id}.nii.gz") for folder in ("predictions", "labels")]
    prediction, reference = (np.asarray(image.dataobj) == value for image in images)
    spacing = tuple(float(side) for side in images[0].header.get_zooms())
    shared, sizes = (prediction & reference).sum(), (prediction.sum(), reference.sum())
    near = tuple(slice(max(where.min() - 2, 0), where.max() + 3) for where in np.nonzero(prediction | reference))

    assert row["dice"] == pytest.approx(2 * shared / sum(sizes))
    assert row["precision"] == pytest.approx(shared / sizes[0])
    assert row["recall"] == pytest.approx(shared / sizes[1])
    expected = distance_by_transforms(prediction[near], reference[near], spacing)
    assert row["voxel_assd_mm"] == pytest.approx(expected)
    assert row["reference_ml"] == pytest.approx(sizes[1] * np.prod(spacing) / 1000)


@pytest.mark.realdata
@pytest.mark.skipif(not MULTIORGAN.is_dir(), reason="needs ../shared/data/multiorgan beside the project")
def test_a_real_network_is_scored_on_eighteen_abdomens(tmp_path: Path) -> None:
    classes = [f"{name}={value}" for name, value in ORGANS.items()]

    run(MULTIORGAN / "predictions", MULTIORGAN / "labels", "--output", tmp_path, "--classes", *classes)

    scores = read_case_scores(tmp_path / "case_scores.csv").set_index(["case_id", "class"])
    assert len(scores) == 18 * len(ORGANS)
    dices = scores["dice"].unstack()
    assert dices["spleen"].agg(["min", "max"]).round(2).tolist() == [0.57, 0.98]
    assert dices["pancreas"].agg(["min", "max"]).round(2).tolist() == [0.66, 0.90]
    for case_id, organ in (("55", "pancreas"), ("85", "left_kidney"), ("66", "gallbladder"), ("88", "oesophagus")):
        check_organ(scores.loc[(case_id, organ)], case_id, ORGANS[organ])


def write_pairs(folder: Path, *lines: str) -> Path:
    write_cubes(folder / "predictions", 3)
    write_cubes(folder / "references", 2)
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "pairs.csv"


def test_a_table_of_pairs_scores_as_the_folders_do_and_names_cases_and_patients(tmp_path: Path) -> None:
    pairs = write_pairs(
        tmp_path,
        "prediction,reference,case_id,patient",
        "predictions/a.nii.gz,references/a.nii.gz,first,Ann",
        f"{tmp_path}/predictions/b.nii.gz,references/b.nii.gz,,Ben",
    )

    run(pairs, "--output", tmp_path / "of_pairs", "--classes", "cube=1")
    run(tmp_path / "predictions", tmp_path / "references", "--output", tmp_path / "of_folders", "--classes", "cube=1")

    of_pairs, of_folders = (
        read_case_scores(tmp_path / name / "case_scores.csv") for name in ("of_pairs", "of_folders")
    )
    assert of_pairs[["case_id", "patient"]].to_numpy().tolist() == [["first", "Ann"], ["b", "Ben"]]
    names = ["case_id", "patient"]
    pd.testing.assert_frame_equal(of_pairs.drop(columns=names), of_folders.drop(columns=names))


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["prediction,truth", "a,b"], ": lacks the columns reference; it has prediction, truth"),
        (["prediction,reference"], ": holds no pair"),
        (["prediction,reference", "predictions/a.nii.gz,"], ", line 2: the column reference is empty"),
        (
            ["prediction,reference", "predictions/x.nii.gz,references/a.nii.gz"],
            r", line 2: the prediction .*x\.nii\.gz is not",
        ),
        (["prediction,reference", *["predictions/a.nii.gz,references/a.nii.gz"] * 2], ", line 3: repeats case a"),
        ([], ": lacks the columns"),
    ],
)
def test_a_wrong_table_of_pairs_is_one_message_with_its_line(tmp_path: Path, lines: list[str], fault: str) -> None:
    with pytest.raises(UserError, match=rf"pairs\.csv{fault}"):
        run(write_pairs(tmp_path, *lines), "--output", tmp_path / "scores")


def test_references_are_given_once_by_the_table_or_by_a_folder(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, "prediction,reference", "predictions/a.nii.gz,references/a.nii.gz")
    with pytest.raises(UserError, match="names the references"):
        run(pairs, tmp_path / "references", "--output", tmp_path / "scores")
    with pytest.raises(UserError, match="no references"):
        run(tmp_path / "predictions", "--output", tmp_path / "scores")


def test_tolerances_and_lesions_are_options(tmp_path: Path) -> None:
    predictions, references = write_cubes(tmp_path / "predictions", 3), write_cubes(tmp_path / "references", 2)
    words = ["--classes", "cube=1", "--lesions", "--tolerance", "1", "cube=3"]

    run(predictions, references, "--output", tmp_path / "scores", *words)

    scores = read_case_scores(tmp_path / "scores" / "case_scores.csv").set_index("case_id")
    assert scores["tolerance_mm"].tolist() == [3, 3]
    assert scores.loc["a", ["nsd", "lesion_f1"]].tolist() == [1, 1]


@pytest.mark.parametrize("word", ["spleen", "spleen=x", "-1", "nan", "inf"])
def test_a_wrong_tolerance_is_refused(word: str) -> None:
    with pytest.raises(UserError, match=f"--tolerance {word}: write mm"):
        parse_scoring([word])
    assert parse_scoring(["3", "spleen=1"]).tolerance_of("liver") == 3
    assert parse_scoring([]).tolerance_of("liver") == 2


@pytest.mark.parametrize("words", [["--classes", "cube=1"], []])
def test_a_tolerance_of_an_unknown_class_is_refused_with_the_classes(tmp_path: Path, words: list[str]) -> None:
    predictions, references = write_cubes(tmp_path / "predictions", 3), write_cubes(tmp_path / "references", 2)
    known = "cube" if words else "1"
    with pytest.raises(UserError, match=rf"--tolerance cub=3: no such class is scored\. Name one of {known}\."):
        run(predictions, references, "--output", tmp_path / "scores", "--tolerance", "cub=3", *words)
    assert not (tmp_path / "scores").exists()


def test_scores_on_phantoms_are_marked_in_the_table_and_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=ct150", "data.source.num_phantoms=1", "data.phantom.spacing=[8,8,8]", f"data.cache={tmp_path}"]
    (case,) = build_cohort_of_words(words).cases
    assert case.label is not None
    label = read_label(case.label)
    write_label(tmp_path / "predictions" / f"{case.case_id}.nii.gz", label.array, label.affine)
    classes = ["--classes", "pancreas=1", "spleen=2", "kidney=3"]

    run(tmp_path / "predictions", *words, "--output", tmp_path / "scores", *classes)

    printed = capsys.readouterr().out
    assert "(PHANTOM)" in printed
    assert "synthetic" in printed
    assert json.loads((tmp_path / "scores" / "summary.json").read_text(encoding="utf-8"))["is_phantom"] is True


def test_the_dataset_of_the_references_may_be_a_file_of_ones_own(tmp_path: Path) -> None:
    references = write_cubes(tmp_path / "own" / "labels", 2)
    shutil.copytree(references, tmp_path / "own" / "images")
    (tmp_path / "settings" / "data").mkdir(parents=True)
    settings = f"defaults: [folder]\nroot: {tmp_path / 'own'}\nclasses: {{cube: 1}}\nmodality: mr\n"
    (tmp_path / "settings" / "data" / "mine.yaml").write_text(settings, encoding="utf-8")
    own = ["--config-dir", tmp_path / "settings"]

    run(references, "data=mine", *own, "--output", tmp_path / "scores", "--classes", "cube=1")

    assert set(read_case_scores(tmp_path / "scores" / "case_scores.csv")["dice"]) == {1.0}
    with pytest.raises(UserError, match=r"--config-dir .*has no effect without a dataset"):
        run(references, references, *own, "--output", tmp_path / "others")
    with pytest.raises(UserError, match=r"--config-dir .*has no effect without a dataset"):
        run(tmp_path / "pairs.csv", *own, "--output", tmp_path / "others")


def write_probabilities(folder: Path, label_maps: Path, sure: float) -> Path:
    """Write for each label map the probabilities of a network that is ``sure`` of it: background and cube."""
    for path in label_maps.glob("*.nii.gz"):
        label = read_label(path)
        for value, name in enumerate(("background", "cube")):
            values = np.where(label.array == value, sure, 1 - sure).astype(np.float32)
            file = folder / path.name.removesuffix(".nii.gz") / f"{value:02d}_{name}.nii.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            nibabel.Nifti1Image(values, label.affine).to_filename(file)
    return folder


def test_probabilities_are_scored_by_their_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, references = write_cubes(tmp_path / "predictions", 3), write_cubes(tmp_path / "references", 2)
    probabilities = write_probabilities(tmp_path / "probabilities", predictions, 0.9)
    words = ("--classes", "cube=1", "--probabilities", probabilities)

    run(predictions, references, "--output", tmp_path / "scores", *words)

    of_a, _ = read_case_scores(tmp_path / "scores" / "case_scores.csv").to_dict("records")
    share_wrong = 2 * 16 / 12**3  # a layer of 4 x 4 voxels on either side
    assert of_a["brier"] == pytest.approx(share_wrong * 0.9**2 + (1 - share_wrong) * 0.1**2)
    inside, outside = 64 / 12**3, 1 - 64 / 12**3
    assert of_a["ece"] == pytest.approx(inside * abs(0.9 - 48 / 64) + outside * abs(0.1 - 16 / (12**3 - 64)))
    assert "ECE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), r"probabilities/a: no file of class cube, whose name begins 01_"),
        (lambda file: file.rename(file.with_name("01_other.nii.gz")), ""),
        (lambda file: nibabel.Nifti1Image(np.full((12, 12, 12), 90.0), np.eye(4)).to_filename(file), "grid"),
        (
            lambda file: nibabel.Nifti1Image(np.full((12, 12, 12), 90.0), np.diag([2.0, 1, 1, 1])).to_filename(file),
            r"values from 90 to 90; probabilities lie between 0 and 1",
        ),
    ],
)
def test_files_that_are_not_the_probabilities_are_refused(tmp_path: Path, damage: Any, message: str) -> None:
    predictions, references = write_cubes(tmp_path / "predictions", 3), write_cubes(tmp_path / "references", 2)
    probabilities = write_probabilities(tmp_path / "probabilities", predictions, 0.9)
    damage(probabilities / "a" / "01_cube.nii.gz")
    words = (predictions, references, "--output", tmp_path / "scores", "--classes", "cube=1")

    if not message:
        return run(*words, "--probabilities", probabilities)
    with pytest.raises(UserError, match=message):
        run(*words, "--probabilities", probabilities)
    return None


def test_probabilities_of_a_model_that_numbers_the_classes_otherwise_are_refused(tmp_path: Path) -> None:
    predictions, references = write_cubes(tmp_path / "predictions", 3), write_cubes(tmp_path / "references", 2)
    probabilities = write_probabilities(tmp_path / "probabilities", predictions, 0.9)
    words = (predictions, references, "--output", tmp_path / "scores", "--probabilities", probabilities)

    with pytest.raises(UserError, match=r"01_cube.nii.gz: is named after class cube, but its number is that of ball"):
        run(*words, "--classes", "ball=1", "cube=2")
