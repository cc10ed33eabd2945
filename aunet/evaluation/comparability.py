"""Checks that runs may be compared, and a unique name for each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from aunet.errors import UserError
from aunet.evaluation.compared_run import ComparedRun, Unit
from aunet.evaluation.setting_differences import SettingDifference, model_differences, refused_concerns
from aunet.messages import shortened

_UNITS: tuple[Unit, ...] = ("patient", "group", "case")
# More differences make a name too long: the folder's is shorter, and a table lists the differences.
_MOST_IN_A_NAME = 3


def check_comparable(runs: Sequence[ComparedRun], *, may_miss: bool = False) -> None:
    """Raise UserError unless all runs were scored on the same data, classes, test cases and reference labels.

    ``may_miss``: folds of a cross-validation may be missing, so the test cases may differ.
    """
    first = runs[0]
    for run in runs[1:]:
        pair = f"{first.folder} and {run.folder} cannot be compared: "
        if (first.data, first.is_phantom) != (run.data, run.is_phantom):
            raise UserError(f"{pair}one was scored on {_data_name(first)}, the other on {_data_name(run)}.")
        if first.class_names != run.class_names:
            raise UserError(f"{pair}their classes are {list(first.class_names)} and {list(run.class_names)}.")
        if first.regions != run.regions:
            raise UserError(f"{pair}one was scored on the regions {first.regions}, the other on {run.regions}.")
        if not may_miss and (difference := _case_difference(first, run)):
            raise UserError(f"{pair}{difference} Train both with the same `data.split`, or pool folds: --folds.")
        if first.data_fingerprint != run.data_fingerprint:
            raise UserError(f"{pair}the files of {first.data} changed between them. Train both on the same files.")
        if changed := _changed_references(first, run):
            raise UserError(f"{pair}the reference labels of {changed} differ. Train both on the same files.")


def check_differences(runs: Sequence[ComparedRun], differences: Sequence[SettingDifference]) -> None:
    """Raise UserError if more than the model may explain the runs' scores, naming each reason with its values."""
    concerns = refused_concerns(differences)
    if not concerns:
        return
    told = "; ".join(_told_difference(concern, differences) for concern in concerns)
    raise UserError(
        f"{', '.join(str(run.folder) for run in runs)}: they differ in more than the model ({told}), and a comparison"
        " would credit the model with all of it. Train them alike but for the model, or compare them as they are with"
        " --allow-differences, which marks the tables."
    )


def share_what_is_known_of_cases(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Give each run the patients of the run that knows most of them, and diagonals that only other runs recorded.

    So an older run gains the records of a newer one, and all are paired alike.
    """
    # Among runs of one unit, fewer patients mean more knowledge: a run that knows none counts each case as one.
    source = min(runs, key=lambda run: (_UNITS.index(run.unit), run.scores["patient"].nunique()))
    patients: dict[str, str] = {}
    for run in (*runs, source):  # a run that lacks a fold knows less than another
        patients |= dict(zip(run.scores["case_id"], run.scores["patient"], strict=True))
    recorded = pd.concat([run.scores[["case_id", "diagonal_mm"]] for run in runs]).dropna()
    diagonals = dict(zip(recorded["case_id"], recorded["diagonal_mm"], strict=True))
    shared: list[ComparedRun] = []
    for run in runs:
        case_ids = run.scores["case_id"].tolist()
        missing = pd.Series([diagonals.get(case_id, float("nan")) for case_id in case_ids], run.scores.index)
        scores = run.scores.assign(
            patient=[patients[case_id] for case_id in case_ids],
            diagonal_mm=run.scores["diagonal_mm"].fillna(missing),
        )
        shared.append(replace(run, scores=scores, unit=source.unit))
    return shared


def with_unique_names(runs: Sequence[ComparedRun], differences: Sequence[SettingDifference]) -> list[ComparedRun]:
    """Return the runs named by the first of these that is unique for each.

    The model; if no setting of it differs, the refused differences; then the model with its differing settings, with
    the refused differences, with the seed, or with the folder.
    """
    folders = Counter(run.folder.resolve() for run in runs)
    if twice := [str(folder) for folder, count in folders.items() if count > 1]:
        raise UserError(f"{twice[0]}: the run is given twice; give every run once.")
    of_model = model_differences(runs)
    others = _texts({difference.setting: difference.values for difference in refused_concerns(differences).values()})
    choices = (
        [run.model for run in runs],
        [] if of_model else others,
        *(
            [f"{run.model}, {text}" for run, text in zip(runs, texts, strict=False)]
            for texts in (
                _texts(of_model),
                others,
                [f"seed {run.seed}" for run in runs],
                [run.folder.name for run in runs],
            )
        ),
    )
    for names in choices:
        if len(set(names)) == len(runs):
            return [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
    return [replace(run, name=f"{run.model}, {run.folder}") for run in runs]


def _told_difference(concern: str, differences: Sequence[SettingDifference]) -> str:
    """Return a concern with its first setting's key and values, and the number of its other settings."""
    first, *others = [found for found in differences if found.is_refused and found.concern == concern]
    key = f" ({first.setting}{f' and {len(others)} more' if others else ''})" if "." in first.setting else ""
    return f"{concern}{key}: {' against '.join(first.values)}"


def _texts(values_of_setting: dict[str, tuple[str, ...]]) -> list[str]:
    """Return a text for each run, such as ``loss=dice, max_epochs=6``; none if it would be long."""
    if not 0 < len(values_of_setting) <= _MOST_IN_A_NAME:
        return []
    words = {setting: setting.removesuffix(".name").rpartition(".")[2] for setting in values_of_setting}
    columns = [[f"{words[setting]}={value}" for value in values] for setting, values in values_of_setting.items()]
    return [", ".join(of_run) for of_run in zip(*columns, strict=True)]


def _data_name(run: ComparedRun) -> str:
    return f"{run.data} ({'phantom' if run.is_phantom else 'real scans'})"


def _case_difference(first: ComparedRun, run: ComparedRun) -> str:
    """Return a sentence on the test cases that only one of the runs has; empty if there are none."""
    first_cases, cases = set(first.scores["case_id"]), set(run.scores["case_id"])
    sides = ((first, sorted(first_cases - cases)), (run, sorted(cases - first_cases)))
    told = [f"only {side.folder} was tested on {shortened(names)}" for side, names in sides if names]
    return "; ".join(told) + "." if told else ""


def _changed_references(first: ComparedRun, run: ComparedRun) -> str:
    """Return the test cases whose reference volumes, so also labels, differ between the runs; empty if none do."""
    keys = ["case_id", "class"]
    pairs = first.scores.merge(run.scores, on=keys, suffixes=("_first", "_run"))
    is_changed = ~np.isclose(pairs["reference_ml_first"], pairs["reference_ml_run"], rtol=1e-6, equal_nan=True)
    return shortened(sorted(pairs.loc[is_changed, "case_id"].unique()))
