"""The test of a run: its cases are predicted in their own grid, scored and pictured."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import Progress

from aunet.classes import IGNORED
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.faulty_cases import attempt
from aunet.data.cohort.references import read_reference
from aunet.data.io.volume import Volume, align, check_same_grid, label_suffix, read_channels
from aunet.data.preprocessing.steps import Preprocessing
from aunet.errors import UserError
from aunet.files import write_json
from aunet.inference.class_names import write_class_names
from aunet.inference.label_volume import OnProgress
from aunet.inference.predictor import Prediction, Predictor
from aunet.metrics.case_scores import join_scores, summarise, summary_as_mapping, write_case_scores
from aunet.metrics.label_map_scores import score_case
from aunet.reporting.pictures.planes import in_ras_order
from aunet.reporting.pictures.prediction import prediction_picture
from aunet.runs.inner_folders import ScoreFolder
from aunet.runs.ranks import gathered, rank, share_of
from aunet.terminal import follow


def score_test_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    cohort: Cohort,
    folder: Path,
    progress: Progress,
    on_error: str = "stop",
) -> pd.DataFrame:
    """Predict and score ``cases``, write the results below ``folder`` and return the summary.

    The files are predictions/<case_id>.nii.gz (.png for a picture) with their class_names.json, pictures/<case_id>.png,
    case_scores.csv and summary.json. Each rank predicts its share of the cases; all get the same summary. With
    ``on_error="skip"`` an unreadable case is left out with a warning.
    """
    tables: list[pd.DataFrame] = []
    for case, report in follow(progress, share_of(cases), "Testing"):
        score = partial(_score_case, predictor, cohort=cohort, folder=folder, on_progress=report)
        table = attempt(score, case, on_error)
        if table is not None:
            tables.append(table)
    order = {case.case_id: number for number, case in enumerate(cases)}
    of_all_ranks = [table for part in gathered(tables) for table in part]
    if not of_all_ranks:
        raise UserError(f"None of the {len(cases)} test cases can be scored, for the reasons above. Mend them.")
    scores = join_scores(sorted(of_all_ranks, key=lambda table: order[str(table["case_id"].iloc[0])]))
    summary = summarise(scores)
    scored = ScoreFolder(folder)
    if rank() == 0:
        write_class_names(scored.predictions, predictor.labels)
        write_case_scores(scored.case_scores, scores)
        write_json(scored.summary, summary_as_mapping(summary))
    return summary


def _score_case(
    predictor: Predictor, case: Case, cohort: Cohort, folder: Path, on_progress: OnProgress
) -> pd.DataFrame:
    channels = [channel for path in case.images for channel in read_channels(path)]
    reference = align(read_reference(case, cohort), channels[0])
    check_same_grid(channels[0], reference, case.case_id)
    prediction = predictor.predict_volume(channels, on_progress=on_progress)
    scored = ScoreFolder(folder)
    prediction.write(scored.predictions / (case.case_id + label_suffix(case.images[0])))
    shown = replace(reference, array=np.where(reference.array == IGNORED, 0, reference.array))
    _draw(scored.picture(case.case_id), case.case_id, channels[0], shown, prediction, predictor.preprocessing)
    maps = prediction.label, reference.array
    return score_case(case.case_id, *maps, reference.spacing, cohort.labels, case.annotated, case.patient)


def _draw(
    path: Path, case_id: str, image: Volume, reference: Volume, prediction: Prediction, preprocessing: Preprocessing
) -> None:
    scan, spacing = in_ras_order(image.array, image.affine)
    truth, found = (in_ras_order(array, image.affine)[0] for array in (reference.array, prediction.label))
    window = preprocessing.shown_window()
    prediction_picture(scan, truth, found, spacing, prediction.labels, path, title=case_id, intensities=window)
