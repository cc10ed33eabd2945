"""Scores of a folder of predictions against a dataset whose classes may differ: they are matched by name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aunet.classes import IGNORED, matching_name
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.references import read_reference
from aunet.data.io.volume import Volume, align, check_same_grid, stem
from aunet.errors import UserError
from aunet.evaluation.folder_scores import label_maps, read_scored, without_ignored
from aunet.evaluation.probability_files import measure_calibrations
from aunet.messages import shortened
from aunet.metrics.case_scores import join_scores
from aunet.metrics.label_map_scores import NOT_MEASURED, USUAL_SCORING, ClassValues, Scoring, score_annotated
from aunet.terminal import shown


@dataclass(frozen=True)
class MatchedClasses:
    """The classes that both sides have, and why the others are not scored.

    ``values`` holds the classes in common, and the values of each in label maps that both sides can be written in.
    ``predicted`` and ``reference`` map the values in the label maps of each side to these; a class that only one side
    has becomes background. ``left_out`` has a sentence on each such class.
    """

    values: Mapping[str, tuple[int, ...]]
    predicted: Mapping[int, int]
    reference: Mapping[int, int]
    left_out: tuple[str, ...]


def match_classes(values_of_name: ClassValues, cohort: Cohort) -> MatchedClasses:
    """Match the class names of the predictions with those of ``cohort``, ignoring case and separators.

    Classes of either side may be regions that overlap: their voxels are numbered by the classes in which they lie.
    The values of an entry ``ignore`` are background in the predictions; see ``ignore_values`` for the references.
    """
    every_value = {0}.union(*values_of_name.values())
    values_of_name, _ = without_ignored(values_of_name)
    told = {k: name for k, name in cohort.labels.foreground if any(case.annotates(k) for case in cohort.cases)}
    values_of_match = {matching_name(name): values for name, values in values_of_name.items()}
    common = {k: name for k, name in told.items() if matching_name(name) in values_of_match}
    if not common:
        raise UserError(
            f"The predictions have the classes {', '.join(values_of_name)}, {cohort.name} annotates"
            f" {', '.join(told.values())}: none in common. Rename those of the dataset: data.classes='{{NAME: …}}'."
        )
    names = {matching_name(name) for name in told.values()}
    unpredicted = [name for k, name in told.items() if k not in common]
    unknown = [name for name in values_of_name if matching_name(name) not in names]
    numbering = _Numbering(tuple(common.values()))
    of_predictions = {name: values_of_match[matching_name(name)] for name in common.values()}
    of_references = {name: cohort.labels.values_of(k) for k, name in common.items()}
    predicted = {value: numbering.number_of(value, of_predictions) for value in sorted(every_value)}
    reference = {value: numbering.number_of(value, of_references) for value in range(cohort.labels.num_classes)}
    return MatchedClasses(
        values=numbering.values(),
        predicted=predicted,
        reference=reference | {IGNORED: IGNORED},
        left_out=(
            *(f"{name} is not among the predicted classes" for name in unpredicted),
            *(f"{name} is not annotated by {cohort.name}" for name in unknown),
        ),
    )


def ignore_values(values_of_name: ClassValues, cohort: Cohort) -> Cohort:
    """Return ``cohort`` with the label files' values of the entry ``ignore`` as voxels without reference, if any."""
    _, ignored = without_ignored(values_of_name)

    def add(class_of_value: Mapping[int, int]) -> dict[int, int]:
        for value in ignored:
            if class_of_value.get(value, 0) not in (0, IGNORED):
                name = cohort.labels.name_of(class_of_value[value])
                raise UserError(
                    f"--classes: ignore={value} is the value of {name} in {cohort.name}. Correct the value, or leave"
                    " ignore out: data.classes names the values that a dataset ignores."
                )
        return {**class_of_value, **dict.fromkeys(ignored, IGNORED)}

    if not ignored:
        return cohort
    if cohort.has_instances:
        raise UserError(
            f"--classes: ignore={'+'.join(map(str, ignored))}: the values of {cohort.name} number objects, so none"
            " marks voxels without reference. Leave ignore out."
        )
    cases = tuple(
        replace(case, class_of_value=tuple(add(dict(case.class_of_value)).items())) if case.class_of_value else case
        for case in cohort.cases
    )
    return replace(cohort, cases=cases, class_of_value=add(cohort.class_of_value))


class _Numbering:
    """Numbers for voxels by the set of classes in which they lie: that of its place for one class, more for several."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        sets = [frozenset[str](), *(frozenset({name}) for name in names)]
        self._numbers = {members: number for number, members in enumerate(sets)}

    def number_of(self, value: int, values_of_class: ClassValues) -> int:
        """Return the number of a ``value`` of a label map whose classes have these values."""
        members = frozenset(name for name, values in values_of_class.items() if value in values)
        return self._numbers.setdefault(members, len(self._numbers))

    def values(self) -> dict[str, tuple[int, ...]]:
        """Return the numbers that make up each class."""
        return {name: tuple(at for members, at in self._numbers.items() if name in members) for name in self._names}


def match_cases(predictions: Path, cohort: Cohort) -> tuple[list[tuple[Path, Case]], str]:
    """Return pairs of a label map and its case, named as the case or its image, and a sentence on cases without one."""
    names = Counter(stem(case.images[0]) for case in cohort.cases)
    case_of_image = {name: case for case in cohort.cases if names[name := stem(case.images[0])] == 1}
    case_of_name = case_of_image | {case.case_id: case for case in cohort.cases}
    found = label_maps(predictions)
    if strangers := [name for name in found if name not in case_of_name]:
        raise UserError(
            f"{predictions}: {len(strangers)} of {len(found)} label maps are of no case of {cohort.name}:"
            f" {shortened(strangers)}. Name each as its case or image, as aunet predict does."
        )
    pairs = [(path, case_of_name[name]) for name, path in found.items()]
    scored = {case.case_id for _, case in pairs}
    missing = [case.case_id for case in cohort.cases if case.case_id not in scored]
    return pairs, f"{len(missing)} cases have no prediction: {shortened(missing)}" if missing else ""


def score_cohort(
    pairs: Sequence[tuple[Path, Case]],
    classes: MatchedClasses,
    cohort: Cohort,
    *,
    is_other_background: bool = False,
    scoring: Scoring = USUAL_SCORING,
) -> pd.DataFrame:
    """Return a row per case and common class, by ``label_map_scores.score_case``; unannotated ones are undefined."""
    tables = [
        _score(path, case, classes, cohort, is_other_background, scoring)
        for path, case in shown(pairs, "Scoring cases")
    ]
    return join_scores(tables)


def _score(
    path: Path, case: Case, classes: MatchedClasses, cohort: Cohort, is_other_background: bool, scoring: Scoring
) -> pd.DataFrame:
    reference, predicted = read_reference(case, cohort), read_scored(path, scoring)
    reference = align(reference, predicted)
    check_same_grid(reference, predicted, case.case_id)
    unknown = sorted(set(np.unique(predicted.array).tolist()) - classes.predicted.keys())
    if unknown and not is_other_background:
        raise UserError(
            f"{path}: holds the values [{shortened(unknown)}], which have no name. Name them with --classes NAME=VALUE,"
            " or take them as background with --others-are-background."
        )
    known = {name for k, name in cohort.labels.foreground if case.annotates(k)}
    references = _renumbered(reference, classes.reference)
    calibrations = NOT_MEASURED
    if scoring.probabilities is not None:
        values = {
            name: [value for value, number in classes.predicted.items() if number in numbers]
            for name, numbers in classes.values.items()
        }
        numbered = replace(reference, array=references)
        calibrations = measure_calibrations(scoring.probabilities, path, values, numbered, classes.values)
    return score_annotated(
        case.case_id,
        _renumbered(predicted, classes.predicted),
        references,
        reference.spacing,
        classes.values,
        [name for name in classes.values if name not in known],
        case.patient,
        scoring,
        calibrations,
    )


def _renumbered(volume: Volume, number_of_value: Mapping[int, int]) -> NDArray[np.uint8]:
    values, places = np.unique(volume.array, return_inverse=True)
    numbers = np.array([number_of_value.get(int(value), 0) for value in values], dtype=np.uint8)
    return numbers[places].reshape(volume.array.shape)
