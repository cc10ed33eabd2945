"""Test cases of a run, scored with a network that returns the reference."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.progress import Progress

from aunet.classes import Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.io.volume import Volume, write_label
from aunet.data.preprocessing.steps import Preprocessing
from aunet.evaluation.test_scores import score_test_cases
from aunet.inference.predictor import Prediction
from aunet.metrics.case_scores import read_case_scores

LABELS = Labels(("background", "disc"))
AFFINE = np.diag([1.0, 1.0, 8.0, 1.0])


def predict(channels: list[Volume]) -> Prediction:
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

    score_test_cases(predictor, cases, cohort, tmp_path / "test", Progress(disable=True))

    scores = read_case_scores(tmp_path / "test" / "case_scores.csv")
    assert scores["patient"].tolist() == ["patient 0", "patient 0", "patient 1", "patient 1"]
    assert scores["dice"].tolist() == [1, 1, 1, 1]
    assert scores["assd_mm"].tolist() == [0, 0, 0, 0]
