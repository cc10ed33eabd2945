"""The test cases of a run: predicted in their own grid, scored, pictured."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from rich.progress import Progress

from aunet.atomic_files import write_json
from aunet.data.case import Case, Cohort
from aunet.data.label_values import read_reference
from aunet.data.preprocessing import Preprocessing
from aunet.data.usable_cases import each_usable
from aunet.data.volume import Volume, check_same_grid, read_channels
from aunet.inference.class_names import write_class_names
from aunet.inference.predictor import Prediction, Predictor
from aunet.metrics.case_scores import join_scores, score_case, summarise, summary_as_mapping, write_case_scores
from aunet.reporting.overlays import prediction_picture
from aunet.reporting.planes import in_ras_order


def score_test_cases(
    predictor: Predictor,
    cases: Iterable[Case],
    cohort: Cohort,
    folder: Path,
    progress: Progress,
    on_error: str = "stop",
) -> pd.DataFrame:
    """Predict and score ``cases``; everything is written below ``folder``. Returns the summary.

    Writes predictions/<case_id>.nii.gz with their class_names.json, pictures/<case_id>.png, case_scores.csv and
    summary.json. ``on_error`` "skip" leaves out a case that cannot be read.
    """
    tables: list[pd.DataFrame] = []

    def score(case: Case) -> None:
        tables.append(_score_case(predictor, case, cohort, folder))

    write_class_names(folder / "predictions", predictor.labels)
    each_usable(progress.track(list(cases), description="Testing"), score, on_error)
    scores = join_scores(tables)
    write_case_scores(folder / "case_scores.csv", scores)
    summary = summarise(scores)
    write_json(folder / "summary.json", summary_as_mapping(summary))
    return summary


def _score_case(predictor: Predictor, case: Case, cohort: Cohort, folder: Path) -> pd.DataFrame:
    channels = [channel for path in case.images for channel in read_channels(path)]
    reference = read_reference(case, cohort)
    check_same_grid(channels[0], reference, case.case_id)
    prediction = predictor.predict_volume(channels)
    prediction.write(folder / "predictions" / f"{case.case_id}.nii.gz")
    path = folder / "pictures" / f"{case.case_id}.png"
    _draw(path, case.case_id, channels[0], reference, prediction, predictor.preprocessing)
    return score_case(case.case_id, prediction.label, reference.array, reference.spacing, cohort.labels, case.annotated)


def _draw(
    path: Path, case_id: str, image: Volume, reference: Volume, prediction: Prediction, preprocessing: Preprocessing
) -> None:
    scan, spacing = in_ras_order(image.array, image.affine)
    truth, found = (in_ras_order(array, image.affine)[0] for array in (reference.array, prediction.label))
    window = preprocessing.window if preprocessing.modality == "ct" else None
    prediction_picture(scan, truth, found, spacing, prediction.labels, path, title=case_id, intensities=window)
