"""The numbers of a comparison: the scores of each run over the cases that all runs define, and paired differences."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aunet.evaluation.compared_run import ComparedRun
from aunet.evaluation.families import MAIN_FORM
from aunet.evaluation.paired_statistics import paired_difference, patient_means
from aunet.evaluation.sign_flip_test import KnownInferences
from aunet.metrics.case_scores import SHOWN_METRICS, detections, patients, penalised
from aunet.metrics.registry import METRIC_OF

_NAN = float("nan")


@dataclass(frozen=True)
class ScoreForm:
    """A metric over the cases in which every run defines it, or one with a penalty for a missed or invented organ."""

    metric: str
    is_penalised: bool = False

    @property
    def name(self) -> str:
        """Return the form's name in tables of numbers."""
        return "penalised" if self.is_penalised else MAIN_FORM

    def is_recorded_by(self, run: ComparedRun) -> bool:
        """Return whether the run has the metric and, for a penalty, the diagonals of its scans."""
        return self.metric in run.metrics and (not self.is_penalised or bool(run.scores["diagonal_mm"].notna().all()))


def score_forms(runs: Sequence[ComparedRun]) -> tuple[ScoreForm, ...]:
    """Return the forms of the tables, in order: each metric as most runs recorded it, a distance also penalised.

    Signed differences are left out, because none of their sides is better.
    """
    forms: list[ScoreForm] = []
    for key in SHOWN_METRICS:
        metric = METRIC_OF[key]
        if metric.direction == "zero":
            continue
        if metric.is_optional and not any(key in run.metrics for run in runs):
            continue
        choices = [key, *([metric.older_form] if metric.older_form else [])]
        most_recorded = max(choices, key=lambda choice: sum(choice in run.metrics for run in runs))
        forms.append(ScoreForm(most_recorded))
        if metric.penalty == "diagonal":
            forms.append(ScoreForm(most_recorded, is_penalised=True))
    return tuple(forms)


def comparison_rows(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """Return every number of the comparison, a row per metric, form, class and run.

    ``mean`` and ``sd`` (n - 1) are over the means of ``patients``, taken over the ``cases`` in which every run that
    recorded the metric defines it. ``undefined`` counts the cases, of those that all of these runs test, that this run
    leaves undefined; ``present``, ``detected`` and ``invented`` are those of ``case_scores.detections``.
    """
    found = [detections(run.scores).set_index("class").to_dict("index") for run in runs]
    rows: list[dict[str, object]] = []
    for form in score_forms(runs):
        recorded = {number: run for number, run in enumerate(runs) if form.is_recorded_by(run)}
        values = _case_values(recorded, form)
        for of_class in runs[0].class_names[1:]:
            for number, run in enumerate(runs):
                score = _score(values[of_class], number) if number in recorded else _NOT_RECORDED
                names = {"metric": form.metric, "form": form.name, "class": of_class}
                rows.append({**_facts_of(run), **names, **score, **found[number][of_class]})
    return pd.DataFrame(rows)


def differences_to_first(
    runs: Sequence[ComparedRun],
    shown: Callable[[Sequence[ComparedRun]], Iterable[ComparedRun]] = iter,
    known: KnownInferences | None = None,
) -> pd.DataFrame:
    """Return the paired differences of two or more runs to the first, a row per run, metric, form and class.

    The columns are baseline, run, metric, form, class, is_recorded and the fields of ``PairedDifference``. Each
    difference is over the cases that both runs define. ``shown`` may show the progress over the other runs;
    ``known`` holds inferences that need not be computed again.
    """
    baseline, rows = runs[0], list[dict[str, object]]()
    for run in shown(runs[1:]):
        for form in score_forms(runs):
            is_recorded = form.is_recorded_by(baseline) and form.is_recorded_by(run)
            of_classes = _case_values({0: baseline, 1: run}, form)
            for of_class in baseline.class_names[1:]:
                values = of_classes[of_class] if is_recorded else of_classes[of_class].iloc[:0]
                difference = paired_difference(values[0], values[1], list(values["patient"]), known)
                names = {"baseline": baseline.name, "run": run.name, "metric": form.metric, "form": form.name}
                rows.append({**names, "class": of_class, "is_recorded": is_recorded, **vars(difference)})
    return pd.DataFrame(rows)


def _case_values(runs: Mapping[int, ComparedRun], form: ScoreForm) -> Mapping[str, pd.DataFrame]:
    """Return for each class a row per case that all runs test: its patient, and in column k the value of run k."""
    columns: dict[str | int, pd.Series] = {}
    for number, run in runs.items():
        scores = penalised(run.scores) if form.is_penalised else run.scores
        scores = scores.assign(patient=patients(scores)).set_index(["class", "case_id"])
        # Old tables lack the metric.
        scores = scores.reindex(columns=["patient", form.metric])
        columns |= {"patient": scores.loc[:, "patient"], number: scores.loc[:, form.metric]}
    if not runs:
        return {}
    values = pd.DataFrame(columns)
    is_tested = np.logical_and.reduce([values.index.isin(column.index) for column in columns.values()])  # in all folds
    classes = values.index.get_level_values("class")
    return {str(name): values.loc[is_tested & (classes == name)] for name in classes.unique()}


def _score(values: pd.DataFrame, number: int) -> dict[str, object]:
    common = values.dropna()
    means = patient_means(common[number], list(common["patient"]))
    return {
        "is_recorded": True,
        "mean": float(means.mean()) if len(means) else _NAN,
        "sd": float(means.std(ddof=1)) if len(means) > 1 else _NAN,
        "patients": len(means),
        "cases": len(common),
        "undefined": int(np.isnan(values[number].to_numpy(dtype=np.float64)).sum()),
    }


_NOT_RECORDED: Mapping[str, object] = {
    "is_recorded": False,
    "mean": _NAN,
    "sd": _NAN,
    "patients": 0,
    "cases": 0,
    "undefined": 0,
}


def _facts_of(run: ComparedRun) -> dict[str, object]:
    return {
        "run": run.name,
        "folder": str(run.folder),
        "model": run.model,
        "seed": run.seed,
        "folds": run.num_folds,
        "data": run.data,
        "is_phantom": run.is_phantom,
        "parameters": run.parameters,
        "patch_size": "x".join(map(str, run.patch_size)),
        "forward_seconds": run.forward_seconds,
    }
