"""The folds of a cross-validation as one run: every case scored once, by the network not trained on it."""

from collections.abc import Sequence
from dataclasses import replace

from aunet.errors import UserError
from aunet.evaluation.compared_run import ComparedRun
from aunet.evaluation.setting_differences import has_equal_settings
from aunet.messages import counted, shortened
from aunet.metrics.case_scores import join_scores
from aunet.runs.run_folder import RunFolder


def gather_folds(runs: Sequence[ComparedRun], *, may_miss: bool = False) -> list[ComparedRun]:
    """Pool the test scores of runs whose settings differ in ``data.fold`` alone, in order of the folds.

    Parameters, patch and folder are those of the first fold, whose network is also the one to time.

    Args:
        runs: a fold each.
        may_miss: pool the folds that are given, with a caveat on the cases that no fold tests.

    Raises:
        UserError: a run has no fold, a fold is given twice, a case is tested in two folds or, unless ``may_miss``, in
            none.
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
    return [_pooled(dict(sorted(of_settings.items())), may_miss) for of_settings in gathered]


def _fold_of(run: ComparedRun) -> int:
    fold = run.settings.get("data.fold")
    if not isinstance(fold, int):
        raise UserError(f"{run.folder}: has no fold (data.fold={fold}); --folds gathers runs of -m data.fold=0,1,….")
    return fold


def _is_fold_of(run: ComparedRun, folds: dict[int, ComparedRun]) -> bool:
    first = next(iter(folds.values()))
    return run.model == first.model and has_equal_settings(run, first)


def _pooled(folds: dict[int, ComparedRun], may_miss: bool) -> ComparedRun:
    runs = list(folds.values())
    scores = join_scores(run.scores for run in runs)
    tested = [case_id for run in runs for case_id in run.scores["case_id"].unique()]
    if twice := sorted({case_id for case_id in tested if tested.count(case_id) > 1}):
        raise UserError(
            f"{runs[0].folder} and its other folds: {shortened(twice)} tested in more than one fold. Folds of one"
            " cross-validation test every case once; train them with the same data.split."
        )
    given = f"with fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))} no fold tests"
    untested = sorted(set().union(*(_cases_of(run) for run in runs)) - set(tested))
    if untested and not may_miss:
        raise UserError(
            f"{runs[0].folder}: {given} {shortened(untested)}. Give the runs of the other folds too, or compare those"
            " that exist with --allow-missing-folds."
        )
    caveats = dict.fromkeys(caveat for run in runs for caveat in run.caveats)
    if untested:
        caveats[f"{given[0].upper()}{given[1:]} {counted(len(untested), 'case')}: {shortened(untested)}."] = None
    return replace(
        runs[0],
        scores=scores,
        unit=max((run.unit for run in runs), key=("patient", "group", "case").index),
        metrics=tuple(key for key in runs[0].metrics if all(key in run.metrics for run in runs)),
        trainings=tuple(replace(training, fold=fold) for fold, run in folds.items() for training in run.trainings),
        caveats=tuple(caveats),
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
