"""The test cases of a run: predicted in their own grid, scored, pictured."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.progress import Progress

from aunet.atomic_files import write_json
from aunet.data.case import Case, Cohort
from aunet.data.label_values import classes_of_values
from aunet.data.preprocessing import Preprocessing
from aunet.data.volume import Volume, read_channels, read_label
from aunet.inference.predictor import Prediction, Predictor
from aunet.metrics.case_scores import join_scores, score_case, summarise, summary_as_mapping, write_case_scores
from aunet.reporting.overlays import prediction_picture
from aunet.reporting.planes import in_ras_order
from aunet.training.ranks import gathered, rank, share_of


def score_test_cases(
    predictor: Predictor, cases: Sequence[Case], cohort: Cohort, folder: Path, progress: Progress
) -> pd.DataFrame:
    """Predict and score ``cases``; everything is written below ``folder``. Returns the summary.

    Writes predictions/<case_id>.nii.gz, pictures/<case_id>.png, case_scores.csv and summary.json. Each rank predicts
    its share of the cases; all get the same summary.
    """
    tables: list[pd.DataFrame] = []
    for case in progress.track(share_of(cases), description="Testing"):
        assert case.label is not None
        channels = [channel for path in case.images for channel in read_channels(path)]
        reference = classes_of_values(read_label(case.label), cohort, case)
        prediction = predictor.predict_volume(channels)
        prediction.write(folder / "predictions" / f"{case.case_id}.nii.gz")
        tables.append(score_case(case.case_id, prediction.label, reference.array, reference.spacing, cohort.labels))
        path = folder / "pictures" / f"{case.case_id}.png"
        _draw(path, case.case_id, channels[0], reference, prediction, predictor.preprocessing)
    order = {case.case_id: number for number, case in enumerate(cases)}
    of_all_ranks = [table for part in gathered(tables) for table in part]
    scores = join_scores(sorted(of_all_ranks, key=lambda table: order[str(table["case_id"].iloc[0])]))
    summary = summarise(scores)
    if rank() == 0:
        write_case_scores(folder / "case_scores.csv", scores)
        write_json(folder / "summary.json", summary_as_mapping(summary))
    return summary


def _draw(
    path: Path, case_id: str, image: Volume, reference: Volume, prediction: Prediction, preprocessing: Preprocessing
) -> None:
    scan, spacing = in_ras_order(image.array, image.affine)
    truth, found = (in_ras_order(array, image.affine)[0] for array in (reference.array, prediction.label))
    window = preprocessing.window if preprocessing.modality == "ct" else None
    prediction_picture(scan, truth, found, spacing, prediction.labels, path, title=case_id, intensities=window)
