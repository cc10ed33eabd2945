"""Test cases of a run, scored with a network that returns the reference."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
from rich.progress import Progress

from aunet.classes import IGNORED, Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.io.volume import Volume, read_label, write_label
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.evaluation import test_scores
from aunet.evaluation.test_scores import score_test_cases
from aunet.inference.class_names import read_class_names
from aunet.inference.label_volume import OnProgress
from aunet.inference.predictor import Prediction
from aunet.metrics.case_scores import read_case_scores

LABELS = Labels(("background", "disc"))
AFFINE = np.diag([1.0, 1.0, 8.0, 1.0])


def predict(channels: list[Volume], on_progress: OnProgress) -> Prediction:
    on_progress(0.5)
    return Prediction(channels[0].array.astype(np.uint8), AFFINE, LABELS)


def test_slices_carry_their_patient_into_the_file_of_scores(tmp_path: Path) -> None:
    label = np.zeros((16, 16, 1), dtype=np.uint8)
    label[4:9, 5:12] = 1
    cases: list[Case] = []
    for number in range(4):
        path = tmp_path / "data" / f"slice_{number}.nii.gz"
        write_label(path, label, AFFINE)
        cases.append(Case(f"slice_{number}", (path,), path, group=f"patient {number // 2}"))
    cohort = Cohort("slices", tuple(cases), LABELS, {0: 0, 1: 1}, "mr", "")
    predictor: Any = SimpleNamespace(
        labels=LABELS, predict_volume=predict, preprocessing=Preprocessing(None, "mr", (0.0, 1.0))
    )

    progress, shares = Progress(disable=True), list[float]()
    progress.update = lambda bar, completed: shares.append(completed)  # pyright: ignore
    score_test_cases(predictor, cases, cohort, tmp_path / "test", progress)

    assert shares == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    scores = read_case_scores(tmp_path / "test" / "case_scores.csv")
    assert scores["patient"].tolist() == ["patient 0", "patient 0", "patient 1", "patient 1"]
    assert scores["dice"].tolist() == [1, 1, 1, 1]
    assert scores["assd_mm"].tolist() == [0, 0, 0, 0]


FLIPPED = np.diag([-1.0, 2.0, 4.0, 1.0])


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> dict[Path, dict[str, Any]]:
    """Return what would be drawn, by the file of the picture."""
    drawn: dict[Path, dict[str, Any]] = {}
    names = ("scan", "truth", "found", "spacing", "labels")

    def draw(*arrays: Any, title: str, intensities: Any) -> None:
        drawn[arrays[5]] = dict(zip(names, arrays, strict=False)) | {"title": title, "intensities": intensities}

    monkeypatch.setattr(test_scores, "prediction_picture", draw)
    return drawn


def scans(folder: Path, *names: str) -> tuple[list[Case], Cohort]:
    """Write scans that are as their label maps: class 1 in a corner, in each case one voxel longer; return them."""
    cases: list[Case] = []
    for size, name in enumerate(names, start=1):
        label = np.zeros((6, 5, 4), dtype=np.uint8)
        label[:size, :2, :2] = 1
        nibabel.Nifti1Image(label.astype(np.float32), FLIPPED).to_filename(folder / f"{name}_scan.nii.gz")
        reference = label.copy()
        reference[:, 4] = 9
        write_label(folder / f"{name}.nii.gz", reference, FLIPPED)
        cases.append(Case(name, (folder / f"{name}_scan.nii.gz",), folder / f"{name}.nii.gz"))
    return cases, Cohort("made", tuple(cases), LABELS, {0: 0, 1: 1, 9: IGNORED}, "mr", "")


def predictor() -> Any:
    def predict_volume(channels: list[Volume], on_progress: OnProgress) -> Prediction:
        found = channels[0].array.astype(np.uint8)
        found[:, 4] = 1  # where nobody knows
        return Prediction(found, channels[0].affine, LABELS)

    return SimpleNamespace(
        labels=LABELS, predict_volume=predict_volume, preprocessing=Preprocessing(None, "mr", (0.0, 2.0))
    )


def test_predictions_names_scores_and_summary_are_written(tmp_path: Path, pictures: dict[Path, Any]) -> None:
    cases, cohort = scans(tmp_path, "b", "a")
    summary = score_test_cases(predictor(), cases, cohort, tmp_path / "test", Progress(disable=True))

    found = read_label(tmp_path / "test" / "predictions" / "b.nii.gz")
    assert found.array.sum() == 4 + 6 * 4
    assert np.allclose(found.affine, FLIPPED)
    names = read_class_names(tmp_path / "test" / "predictions")
    assert names is not None
    assert names.names == LABELS.names
    scores = read_case_scores(tmp_path / "test" / "case_scores.csv")
    assert scores["case_id"].tolist() == ["b", "a"]
    assert scores["dice"].tolist() == [1, 1]  # ignored voxels do not count
    assert scores["predicted_ml"].tolist() == [4 * 8 / 1000, 8 * 8 / 1000]
    written = json.loads((tmp_path / "test" / "summary.json").read_text(encoding="utf-8"))
    assert written["disc"]["dice"]["mean"] == 1
    assert summary.loc[summary["metric"] == "dice", "count"].tolist() == [2]
    assert set(pictures) == {tmp_path / "test" / "pictures" / f"{name}.png" for name in "ab"}


def test_a_picture_is_of_the_scan_in_ras_order_without_ignored_voxels(tmp_path: Path, pictures: Any) -> None:
    cases, cohort = scans(tmp_path, "a", "b")
    score_test_cases(predictor(), cases, cohort, tmp_path / "test", Progress(disable=True))

    drawn = pictures[tmp_path / "test" / "pictures" / "b.png"]
    expected = np.zeros((6, 5, 4))
    expected[4:, :2, :2] = 1  # the first axis runs to the left in the file, to the right in the picture
    assert np.array_equal(drawn["scan"], expected)
    assert np.array_equal(drawn["truth"], expected)
    expected[:, 4] = 1
    assert np.array_equal(drawn["found"], expected)
    assert (drawn["spacing"], drawn["title"], drawn["labels"]) == ((1, 2, 4), "b", LABELS)
    assert drawn["intensities"] == predictor().preprocessing.shown_window()


def test_an_unreadable_case_stops_the_test_or_is_skipped(tmp_path: Path, pictures: Any) -> None:
    cases, cohort = scans(tmp_path, "a", "b")
    (tmp_path / "a_scan.nii.gz").write_bytes(b"damaged")
    words = cases, cohort, tmp_path / "test", Progress(disable=True)

    with pytest.raises(UserError, match=r"a_scan\.nii\.gz"):
        score_test_cases(predictor(), *words)
    score_test_cases(predictor(), *words, on_error="skip")
    assert read_case_scores(tmp_path / "test" / "case_scores.csv")["case_id"].tolist() == ["b"]
    with pytest.raises(UserError, match="None of the 1 test cases can be scored, for the reasons above"):
        score_test_cases(predictor(), cases[:1], *words[1:], on_error="skip")


def test_a_reference_on_another_grid_is_refused_with_its_case(tmp_path: Path) -> None:
    cases, cohort = scans(tmp_path, "a")
    write_label(tmp_path / "a.nii.gz", np.zeros((7, 5, 4), dtype=np.uint8), FLIPPED)
    with pytest.raises(UserError, match="case a: "):
        score_test_cases(predictor(), cases, cohort, tmp_path / "test", Progress(disable=True))
