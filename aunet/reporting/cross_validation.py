"""The folds of a cross-validation as one run: every case scored once, by the network that did not train on it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from aunet.errors import UserError
from aunet.metrics.case_scores import join_scores
from aunet.reporting.compared_run import ComparedRun, shortened


def gather_folds(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Pool the test scores of runs whose configurations differ in ``data.fold`` alone, in order of the folds.

    Parameters, patch and folder are those of the first fold, whose network is also the one to time.

    Raises:
        UserError: for a run without a fold, a fold given twice, and folds that leave a case untested.
    """
    folds = [(run, *_settings_and_fold(run.folder)) for run in runs]
    gathered: dict[str, dict[int, ComparedRun]] = {}
    for run, settings, fold in folds:
        of_settings = gathered.setdefault(settings, {})
        if fold in of_settings:
            raise UserError(f"{of_settings[fold].folder} and {run.folder}: both are fold {fold}; give one of them.")
        of_settings[fold] = run
    return [_pooled(dict(sorted(of_settings.items()))) for of_settings in gathered.values()]


def _settings_and_fold(folder: Path) -> tuple[str, int]:
    """All settings but the fold, as text, and the fold."""
    path = folder / "config.yaml"
    try:
        config: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        fold = config["data"].pop("fold")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path}: not the configuration of a run ({error!r}). Give a run as training left it."
        ) from None
    if not isinstance(fold, int):
        raise UserError(f"{folder}: has no fold (data.fold={fold}); --folds gathers runs of -m data.fold=0,1,….")
    return json.dumps(config, sort_keys=True, default=str), fold


def _pooled(folds: dict[int, ComparedRun]) -> ComparedRun:
    runs = list(folds.values())
    scores = join_scores(run.scores for run in runs)
    tested = [case_id for run in runs for case_id in run.scores["case_id"].unique()]
    if twice := sorted({case_id for case_id in tested if tested.count(case_id) > 1}):
        raise UserError(
            f"{runs[0].folder} and its other folds: {shortened(twice)} tested in more than one fold. Folds of one"
            " cross-validation test every case once; train them with the same data.split."
        )
    if untested := sorted(set().union(*(_cases_of(run.folder) for run in runs)) - set(tested)):
        raise UserError(
            f"{runs[0].folder}: with folds {', '.join(map(str, folds))} no fold tests {shortened(untested)}. Give the"
            " runs of the other folds too."
        )
    return replace(runs[0], scores=scores, num_folds=len(runs))


def _cases_of(folder: Path) -> set[str]:
    """Return every case id of a run's ``splits.json``."""
    path = folder / "splits.json"
    try:
        parts: Any = json.loads(path.read_text(encoding="utf-8"))
        return {case_id for part in ("train", "val", "test") for case_id in parts[part]}
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the splits of a run ({error!r}). Give a run as training left it.") from None
