"""The arms of a comparison: the trainings that differ in nothing but the seed and the fold, and their tidy scores."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pandas as pd

from aunet.errors import UserError
from aunet.evaluation.comparability import with_unique_names
from aunet.evaluation.compared_run import ComparedRun
from aunet.evaluation.comparison_scores import ScoreForm, score_forms
from aunet.evaluation.effects import TIDY
from aunet.evaluation.setting_differences import has_equal_settings, setting_differences
from aunet.metrics.case_scores import patients, penalised


@dataclass(frozen=True)
class Arm:
    """A model with its trainings; a run of ``runs`` pools the folds of one seed.

    Attributes:
        name: for the tables.
        runs: in order of the seeds; empty if none finished.
        missing: names of the trainings that did not finish.
    """

    name: str
    runs: tuple[ComparedRun, ...]
    missing: tuple[str, ...] = ()


def gather_arms(runs: Sequence[ComparedRun]) -> list[Arm]:
    """Group ``runs`` by their settings without the seed, in order of the first run of each.

    Runs that all differ in the seed alone are compared one by one, as trainings of one model.

    Raises:
        UserError: a seed is given twice in an arm of several.
    """
    groups: list[list[ComparedRun]] = []
    for run in runs:
        group = next((group for group in groups if _is_same_arm(run, group[0])), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    if len(groups) == 1:
        return [Arm(run.name, (run,)) for run in runs]
    arms = [_arm(group) for group in groups]
    firsts = [arm.runs[0] for arm in arms]
    named = with_unique_names(firsts, setting_differences(firsts))
    return [replace(arm, name=run.name) for arm, run in zip(arms, named, strict=True)]


def arms_of_study(
    runs: Sequence[ComparedRun], arm_of_folder: Mapping[Path, str], finished: Collection[Path]
) -> list[Arm]:
    """Return the arms of a study in its order, those without a finished run included.

    Args:
        runs: the finished runs; one that pools folds has the folder of its first.
        arm_of_folder: the arm of every training of the study, finished or not, as its overrides.
        finished: folders of the finished trainings.
    """
    arms: list[Arm] = []
    for words, name in _short_names(list(dict.fromkeys(arm_of_folder.values()))).items():
        own = sorted((run for run in runs if arm_of_folder[run.folder] == words), key=lambda run: run.seed)
        missing = [folder.name for folder, arm in arm_of_folder.items() if arm == words and folder not in finished]
        arms.append(Arm(name, tuple(own), tuple(missing)))
    return arms


def tidy_scores(arms: Sequence[Arm]) -> pd.DataFrame:
    """Return every score of every training, a row each, with the columns of ``effects.TIDY``.

    A metric that one training of an arm did not record is left out for that arm. Undefined scores are NaN.
    """
    runs = [run for arm in arms for run in arm.runs]
    tables = [_tidy(arm, form) for form in (score_forms(runs) if runs else ()) for arm in arms]
    found = [table for tables_of_arm in tables for table in tables_of_arm]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(TIDY))


def _is_same_arm(run: ComparedRun, other: ComparedRun) -> bool:
    return run.model == other.model and has_equal_settings(_without_seed(run), _without_seed(other))


def _without_seed(run: ComparedRun) -> ComparedRun:
    return replace(run, settings={key: value for key, value in run.settings.items() if key != "seed"})


def _arm(group: Sequence[ComparedRun]) -> Arm:
    runs = sorted(group, key=lambda run: run.seed)
    for run, following in pairwise(runs):
        if run.seed == following.seed:
            raise UserError(
                f"{run.folder} and {following.folder}: both are seed {run.seed} of the same settings; give one of them."
            )
    return Arm(group[0].name, tuple(runs))


def _tidy(arm: Arm, form: ScoreForm) -> Iterator[pd.DataFrame]:
    if not all(form.is_recorded_by(run) for run in arm.runs):
        return
    for run in arm.runs:
        scores = penalised(run.scores) if form.is_penalised else run.scores
        folds = _fold_of_case(run)
        columns: dict[str, object] = {
            "metric": form.metric,
            "form": form.name,
            "class": scores["class"],
            "arm": arm.name,
            "seed": run.seed,
            "fold": [folds.get(case_id, 0) for case_id in scores["case_id"]],
            "case": scores["case_id"],
            "patient": patients(scores),
            "value": scores[form.metric],
        }
        yield pd.DataFrame(columns, columns=list(TIDY))


def _fold_of_case(run: ComparedRun) -> dict[str, int]:
    """Return the fold that tested each case, so that arms which lack different folds are paired within each."""
    folds = [number if training.fold is None else training.fold for number, training in enumerate(run.trainings)]
    return {
        case_id: fold for fold, training in zip(folds, run.trainings, strict=True) for case_id in training.test or ()
    }


def _short_names(arms: Sequence[str]) -> dict[str, str]:
    """Return a name for each arm from the overrides in which it differs: ``attention``, ``unet, train=15``."""
    common = set[str].intersection(*(set(arm.split()) for arm in arms))
    own = {arm: [word for word in arm.split() if word not in common] for arm in arms}
    return {arm: ", ".join(_short(word) for word in words) or arm for arm, words in own.items()}


def _short(word: str) -> str:
    key, _, value = word.partition("=")
    return value if key in ("model", "model/gate", "model/head") else f"{key.rpartition('.')[2]}={value}"
