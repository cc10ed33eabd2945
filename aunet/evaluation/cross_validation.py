"""The folds of a cross-validation as one run: every case scored once, by the network not trained on it."""

from collections.abc import Sequence
from dataclasses import replace

from aunet.errors import UserError
from aunet.evaluation.compared_run import ComparedRun
from aunet.evaluation.setting_differences import has_equal_settings
from aunet.messages import shortened
from aunet.metrics.case_scores import join_scores
from aunet.runs.run_folder import RunFolder


def gather_folds(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Pool the test scores of runs whose settings differ in ``data.fold`` alone, in order of the folds.

    Parameters, patch and folder are those of the first fold, whose network is also the one to time.

    Raises:
        UserError: a run has no fold, a fold is given twice, a case is tested in two folds or in none.
    """
    gathered: list[dict[int, ComparedRun]] = []
    for run in runs:
        fold = _fold_of(run)
        of_settings = next((other for other in gathered if _is_fold_of(run, other)), None)
        if of_settings is None:
            gathered.append({fold: run})
        elif fold in of_settings:
            raise UserError(f"{of_settings[fold].folder} and {run.folder}: both are fold {fold}; give one of them.")
        else:
            of_settings[fold] = run
    return [_pooled(dict(sorted(of_settings.items()))) for of_settings in gathered]


def _fold_of(run: ComparedRun) -> int:
    fold = run.settings.get("data.fold")
    if not isinstance(fold, int):
        raise UserError(f"{run.folder}: has no fold (data.fold={fold}); --folds gathers runs of -m data.fold=0,1,….")
    return fold


def _is_fold_of(run: ComparedRun, folds: dict[int, ComparedRun]) -> bool:
    first = next(iter(folds.values()))
    return run.model == first.model and has_equal_settings(run, first)


def _pooled(folds: dict[int, ComparedRun]) -> ComparedRun:
    runs = list(folds.values())
    scores = join_scores(run.scores for run in runs)
    tested = [case_id for run in runs for case_id in run.scores["case_id"].unique()]
    if twice := sorted({case_id for case_id in tested if tested.count(case_id) > 1}):
        raise UserError(
            f"{runs[0].folder} and its other folds: {shortened(twice)} tested in more than one fold. Folds of one"
            " cross-validation test every case once; train them with the same data.split."
        )
    if untested := sorted(set().union(*(_cases_of(run) for run in runs)) - set(tested)):
        raise UserError(
            f"{runs[0].folder}: with folds {', '.join(map(str, folds))} no fold tests {shortened(untested)}. Give the"
            " runs of the other folds too."
        )
    return replace(
        runs[0],
        scores=scores,
        unit=max((run.unit for run in runs), key=("patient", "group", "case").index),
        metrics=tuple(key for key in runs[0].metrics if all(key in run.metrics for run in runs)),
        trainings=tuple(training for run in runs for training in run.trainings),
        caveats=tuple(dict.fromkeys(caveat for run in runs for caveat in run.caveats)),
    )


def _cases_of(run: ComparedRun) -> frozenset[str]:
    """Return every case of a run's splits; raise UserError if they are not recorded."""
    parts = [part for training in run.trainings for part in (training.train, training.val, training.test)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        raise UserError(
            f"{RunFolder(run.folder).splits}: no such file; --folds needs it. Give a run as training left it."
        )
    return frozenset[str]().union(*known)
