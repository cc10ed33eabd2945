"""The choice of a run's post-processing on its validation cases, kept in its folder for every later prediction."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import Progress

from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.faulty_cases import attempt
from aunet.data.cohort.references import read_scan_and_reference
from aunet.errors import UserError
from aunet.evaluation.postprocessing_choice import PostprocessingChoice, Steps
from aunet.inference.chosen_postprocessing import ChosenStep, write_choice
from aunet.inference.label_volume import OnProgress
from aunet.inference.predictor import Predictor
from aunet.runs.ranks import first_rank_first, gathered, rank, share_of
from aunet.runs.run_folder import RunFolder
from aunet.terminal import follow

_log = logging.getLogger(__name__)


def choose_postprocessing(
    predictor: Predictor,
    cases: Sequence[Case],
    cohort: Cohort,
    folder: Path,
    progress: Progress,
    on_error: str = "stop",
) -> list[ChosenStep]:
    """Choose the steps for the run in ``folder`` on its validation ``cases``, write and return them.

    Args:
        predictor: of the run, without steps that were chosen before.
        cases: that the run was validated on; each rank predicts its share.
        cohort: of the cases.
        folder: of the run.
        progress: shows the cases.
        on_error: "skip" leaves out a case that cannot be read, with a warning.

    Raises:
        UserError: if no case can be read.
    """
    choice = PostprocessingChoice(cohort.labels)

    def add(case: Case, on_progress: OnProgress) -> None:
        channels, reference = read_scan_and_reference(case, cohort)
        voxel_ml = abs(float(np.linalg.det(reference.affine[:3, :3]))) / 1000
        predicted = predictor.predict_volume(channels, on_progress=on_progress).label
        choice.add(predicted, reference.array, voxel_ml, case.annotated)

    for case, report in follow(progress, share_of(cases), "Choosing post-processing"):
        attempt(partial(add, on_progress=report), case, on_error)
    of_all_ranks = _joined(cohort, gathered(choice.scores_as_lists()))
    if not of_all_ranks.scores:
        raise UserError(f"{folder}: none of its {len(cases)} validation cases can be scored, so no step can be chosen.")
    chosen = of_all_ranks.choose()
    steps = [step for of_class in chosen.values() for step in of_class]
    with first_rank_first():  # each rank reads the file for its share of the test
        if rank() == 0:
            write_choice(RunFolder(folder).postprocessing, steps, _evidence(of_all_ranks, chosen, cases))
            _report(of_all_ranks, chosen)
    return steps


def _joined(cohort: Cohort, parts: Sequence[dict[str, list[tuple[Steps, list[float]]]]]) -> PostprocessingChoice:
    """Return the scores of all ranks."""
    choice = PostprocessingChoice(cohort.labels)
    for part in parts:
        for name, of_class in part.items():
            for steps, values in of_class:
                choice.scores[name][steps] += values
    return choice


def _evidence(choice: PostprocessingChoice, chosen: dict[str, Steps], cases: Sequence[Case]) -> dict[str, object]:
    means = choice.mean_dice()
    return {
        "validation_cases": [case.case_id for case in cases],
        "classes": {
            name: {
                "dice_without": round(means[name][()], 6),
                "dice_with": round(means[name][steps], 6),
                "tried": [
                    {"steps": [step.as_json() for step in tried], "dice": round(mean, 6)}
                    for tried, mean in means[name].items()
                ],
            }
            for name, steps in chosen.items()
        },
    }


def _report(choice: PostprocessingChoice, chosen: dict[str, Steps]) -> None:
    means = choice.mean_dice()
    for name, steps in chosen.items():
        words = " and ".join(_words(step) for step in steps) or "none, as no step raises it"
        _log.info(
            "Post-processing of %s: %s; mean Dice of the validation cases %.4f without, %.4f with",
            *(name, words, means[name][()], means[name][steps]),
        )


def _words(step: ChosenStep) -> str:
    name = step.kind.replace("_", " ")
    return name if step.least_ml is None else f"{name} {step.least_ml:g} ml"
