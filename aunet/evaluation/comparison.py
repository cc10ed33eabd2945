"""Runs side by side: the paper's table, and the settings that differ."""

import math
from collections.abc import Callable, Collection, Sequence

import pandas as pd

from aunet.evaluation.compared_run import ComparedRun, Training
from aunet.evaluation.comparison_scores import ScoreForm, score_forms
from aunet.evaluation.setting_differences import (
    NOT_RECORDED,
    SettingDifference,
    model_differences,
    refused_concerns,
    told_counts,
    told_facts,
)
from aunet.messages import duration_words
from aunet.metrics.case_scores import PENALTY
from aunet.metrics.registry import METRIC_OF, notes_on
from aunet.reporting.tables import (
    DETECTED_NOTE,
    PHANTOM_NOTE,
    PaperTable,
    Rows,
    TableRow,
    mean_and_sd,
)

TRAINING_CASES_NOTE = (
    "Whether the runs were trained on the same cases is not known: splits.json is missing or older for"
)
ONE_TRAINING_NOTE = (
    "Each run is {}: the table speaks of these trainings, not of the models; repeat with other seeds and give all runs."
)
FOLDS_NOTE = (
    "Cross-validation: the test scores of all folds, pooled; each case was scored by a network that did not train "
    "on it. The sd is over patients, not over folds."
)
GROUP_NOTE = "Patients: the groups of cases that data.split.group={} finds in their names."
UNIT_NOTE = "Patients are not recorded; each case counts as one."
# Ratio of the numbers of steps: runs that are timed alike end within a few steps of each other.
_EQUAL_STEPS = 1.05
SETTINGS_NOTE = "Each of these, unless only noted, may explain a difference of scores as well as the model does."


def comparison_table(
    runs: Sequence[ComparedRun], rows: pd.DataFrame, differences: Sequence[SettingDifference], timing_note: str
) -> PaperTable:
    """Return the paper's table of ``comparison_rows``: metrics and classes by runs, then size and training."""
    scores = {(row["metric"], row["form"], row["class"], row["run"]): row for row in rows.to_dict("records")}
    classes, names = runs[0].class_names[1:], [run.name for run in runs]
    forms, groups = score_forms(runs), list[Rows]()
    for form in forms:
        cells = [[scores[form.metric, form.name, of_class, name] for name in names] for of_class in classes]
        groups.append(_group(metric_title(form), classes, cells, _num_patients, _mean_cell))
    found = [[scores[forms[0].metric, forms[0].name, of_class, name] for name in names] for of_class in classes]
    groups.append(
        _group("Detected (cases)", classes, found, lambda row: "", lambda row: f"{row['detected']}/{row['present']}")
    )
    if any(row["invented"] for of_class in found for row in of_class):
        title = "False positive (cases)"
        groups.append(_group(title, classes, found, lambda row: "", lambda row: str(row["invented"])))
    return PaperTable(
        title=f"{data_title(runs)}: mean ± sd over {_common_population(runs)}{mark_of(runs, differences)}",
        columns=("Metric", "Class", "n", *names),
        groups=(*groups, fact_rows(runs)),
        notes=(*run_notes(runs), timing_note, *_score_notes(forms)),
        name_columns=2,
    )


def settings_table(runs: Sequence[ComparedRun], differences: Sequence[SettingDifference]) -> PaperTable:
    """Return the table of settings that differ besides the model, those that forbid comparing before those noted."""
    groups = tuple(
        tuple(
            (f"{found.concern}{'' if found.is_refused else ' (noted)'}", found.setting, *map(_shown, found.values))
            for found in differences
            if found.is_refused == is_refused
        )
        for is_refused in (True, False)
    )
    return PaperTable(
        title="Settings that differ besides the model",
        columns=("Concerns", "Setting", *(run.name for run in runs)),
        groups=tuple(group for group in groups if group),
        notes=(SETTINGS_NOTE,) if groups[0] else (),
    )


def mark_of(runs: Sequence[ComparedRun], differences: Sequence[SettingDifference]) -> str:
    """Return the mark for every title if more than the model differs; empty if only the model does."""
    concerns = ", ".join(refused_concerns(differences))
    if not concerns:
        return ""
    if model_differences(runs):
        return f" — NOT ONLY THE MODEL DIFFERS: {concerns}"
    return f" — one model ({runs[0].model}), differing in: {concerns}"


def metric_title(form: ScoreForm) -> str:
    """Return the name of a metric in one of its forms."""
    metric = METRIC_OF[form.metric]
    return metric.penalised_heading if form.is_penalised else metric.heading


def _group(
    title: str,
    classes: Sequence[str],
    cells: Sequence[Sequence[TableRow]],
    count: Callable[[Sequence[TableRow]], str],
    text: Callable[[TableRow], str],
) -> Rows:
    """Return a row per class, or one for all classes if no run recorded the metric."""
    if not any(row["is_recorded"] for rows in cells for row in rows):
        return ((title, "all", "–", *(NOT_RECORDED for _ in cells[0])),)
    return tuple(
        ("" if number else title, of_class, count(rows), *map(text, rows))
        for number, (of_class, rows) in enumerate(zip(classes, cells, strict=True))
    )


def _num_patients(rows: Sequence[TableRow]) -> str:
    return next(_count(row) for row in rows if row["is_recorded"])


def _count(row: TableRow) -> str:
    return f"{row['patients']}" + (f" ({row['cases']})" if row["cases"] != row["patients"] else "")


def _mean_cell(row: TableRow) -> str:
    return mean_and_sd(row["mean"], row["sd"], row["metric"]) if row["is_recorded"] else NOT_RECORDED


def fact_rows(runs: Sequence[ComparedRun]) -> Rows:
    """Return the rows on size, cost and training: name, two empty cells, a cell per run."""
    facts: list[tuple[str, Callable[[ComparedRun], str]]] = [
        ("Parameters", lambda run: f"{run.parameters / 1e6:.2f} M" if run.parameters >= 1e5 else f"{run.parameters:,}"),
        ("GFLOP", lambda run: _known(run.gflop, lambda value: f"{value:,.1f}")),
        ("Forward (s)", lambda run: _known(run.forward_seconds, lambda value: f"{value:.3f}")),
        ("Training time", lambda run: _known(run.training_seconds, duration_words)),
        ("Patch", lambda run: "×".join(map(str, run.patch_size))),
        ("Training cases", lambda run: told_counts([training.train for training in run.trainings])),
        ("Training patients", lambda run: told_counts([_patients_of(training) for training in run.trainings])),
        ("Epochs", lambda run: told_facts([training.epochs for training in run.trainings])),
        ("Steps", lambda run: told_facts([training.steps for training in run.trainings])),
        ("Numeric precision", lambda run: told_facts([training.precision for training in run.trainings])),
        ("Seed", lambda run: str(run.seed)),
    ]
    if any(run.num_folds > 1 for run in runs):
        facts.append(("Folds", lambda run: str(run.num_folds)))
    return tuple((name, "", "", *map(text, runs)) for name, text in facts)


def _known(value: float, text: Callable[[float], str]) -> str:
    return NOT_RECORDED if math.isnan(value) else text(value)


def _patients_of(training: Training) -> frozenset[str] | None:
    if training.train is None or training.patients is None:
        return None
    return frozenset(training.patients.get(case_id, case_id) for case_id in training.train)


def data_title(runs: Sequence[ComparedRun]) -> str:
    """Return the name of the data, marked if it is a phantom."""
    return f"{runs[0].data}{' (PHANTOM)' if runs[0].is_phantom else ''}"


def population(runs: Sequence[ComparedRun], case_ids: Collection[str] | None = None) -> str:
    """Return the number of test patients, and of cases if there are more; of ``case_ids`` alone if given."""
    patient_of: dict[str, str] = {}
    for run in runs:  # one may lack a fold
        patient_of |= dict(zip(run.scores["case_id"], run.scores["patient"], strict=True))
    counted = patient_of.keys() if case_ids is None else case_ids
    cases, patients = len(counted), len({patient_of[case_id] for case_id in counted})
    if runs[0].unit == "case":
        return f"{cases} test case{'' if cases == 1 else 's'}"
    return f"{patients} patient{'' if patients == 1 else 's'}" + (f" ({cases} test cases)" if cases != patients else "")


def _common_population(runs: Sequence[ComparedRun]) -> str:
    """Return the population of the cases that all runs test."""
    return population(runs, set.intersection(*(set(run.scores["case_id"]) for run in runs)))


def run_notes(runs: Sequence[ComparedRun], are_arms: bool = False) -> tuple[str, ...]:
    """Return the notes of every table; ``are_arms``: each run stands for several trainings of its model."""
    first, has_folds = runs[0], any(run.num_folds > 1 for run in runs)
    unknown = [run.name for run in runs if any(training.train is None for training in run.trainings)]
    trainings = "one training per fold" if has_folds else "one training"
    return (
        *((PHANTOM_NOTE,) if first.is_phantom else ()),
        *(f"{run.name}: {caveat}" for run in runs for caveat in run.caveats),
        *(() if are_arms else (ONE_TRAINING_NOTE.format(trainings),)),
        *_step_notes(runs),
        *((FOLDS_NOTE,) if has_folds else ()),
        *((f"{TRAINING_CASES_NOTE} {', '.join(unknown)}.",) if unknown else ()),
        *((UNIT_NOTE,) if first.unit == "case" else ()),
        *((GROUP_NOTE.format(first.settings.get("data.split.group")),) if first.unit == "group" else ()),
    )


def _step_notes(runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    """Return a note if trainings that a time limit may have ended took different numbers of steps."""
    limited = [run for run in runs if run.settings.get("trainer.max_time") is not None]
    steps = [training.steps for run in runs for training in run.trainings if training.steps is not None]
    if not limited or not steps or max(steps) <= _EQUAL_STEPS * min(steps):
        return ()
    return (
        f"The trainings took {min(steps):,} to {max(steps):,} steps within trainer.max_time, so differences of scores"
        " are also those of speed, and of other work on the same machine. trainer.max_epochs= alone makes the steps"
        " equal.",
    )


def _score_notes(forms: Sequence[ScoreForm]) -> tuple[str, ...]:
    notes = notes_on(tuple(dict.fromkeys(form.metric for form in forms)))
    return (
        "n: patients (cases, if they are more) with a value in every run; mean and sd (n - 1) are over the means of"
        f" these patients, the same for all runs. {DETECTED_NOTE}. False positive: other cases in which the"
        " class is predicted.",
        f"{notes} {PENALTY}",
    )


def _shown(value: str, longest: int = 60) -> str:
    return value if len(value) <= longest else f"{value[: longest - 1]}…"
