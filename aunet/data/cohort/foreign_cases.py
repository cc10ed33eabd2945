"""Test cases of another dataset: a network trained on one scanner is tested on another, ``data.test_on``."""

from collections.abc import Sequence
from dataclasses import replace

from aunet.classes import IGNORED, describe_classes
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.shared_files import join_sharing_cases
from aunet.errors import UserError


def with_foreign_cases(cohort: Cohort, other: Cohort, words: Sequence[str]) -> Cohort:
    """Return ``cohort`` with the cases of ``other``, which may be tested only.

    Their ids begin with the name of their dataset, as both datasets may use the same ids. Their classes are matched by
    name; one that ``other`` does not annotate stays unknown in its cases.

    Raises:
        UserError: they have other classes or another number of channels, or a scan is in both datasets. ``words`` name
            the other dataset, for messages.
    """
    told = f"data.test_on={list(words)}"
    _check_fit(cohort, other, told)
    index_of = [cohort.labels.names.index(name) for name in other.labels.names]
    named = [_renamed(case, other, index_of) for case in other.cases]
    joined = join_sharing_cases((*cohort.cases, *named))
    foreign = frozenset(case.case_id for case in named)
    own_patients = {case.patient: case.case_id for case in joined if case.case_id not in foreign}
    if both := [case for case in joined if case.case_id in foreign and case.patient in own_patients]:
        raise UserError(
            f"{told}: case {both[0].case_id} is a copy of {own_patients[both[0].patient]} of {cohort.name}; a scan that"
            " was trained on cannot test. Leave it out on one side: data.cases=PATTERN."
        )
    return replace(
        cohort,
        cases=joined,
        foreign=foreign,
        other=other,
        description=f"{cohort.description}; tested on {other.description}",
        is_phantom=cohort.is_phantom or other.is_phantom,
    )


def _check_fit(cohort: Cohort, other: Cohort, told: str) -> None:
    """Raise UserError unless a network of ``cohort`` can be tested on ``other``."""
    if set(cohort.labels.names) != set(other.labels.names):
        classes, others = (", ".join(name for _, name in of.labels.foreground) for of in (cohort, other))
        raise UserError(
            f"{told}: its classes are {others}, those of {cohort.name} {classes}. Name the same in both, with null for"
            " one that a dataset does not annotate: data.classes={NAME: VALUE, …} among the words."
        )
    index_of = [cohort.labels.names.index(name) for name in other.labels.names]
    regions = {own: {index_of[value] for value in other.labels.values_of(index)} for index, own in enumerate(index_of)}
    if any(set(cohort.labels.values_of(index)) != values for index, values in regions.items()):
        raise UserError(
            f"{told}: its {describe_classes(other.labels)}; those of {cohort.name} are"
            f" {describe_classes(cohort.labels)}. Give both the same data.target_regions."
        )
    if (cohort.num_channels, cohort.has_instances) != (other.num_channels, other.has_instances):
        raise UserError(
            f"{told}: has {other.num_channels} channels, {cohort.name} {cohort.num_channels}; a network reads the"
            " channels that it was trained on. Choose a dataset of the same kind of scans."
        )


def _renamed(case: Case, other: Cohort, index_of: Sequence[int]) -> Case:
    """Return a case of ``other`` with a name of its own and its classes as the first dataset numbers them."""
    pairs = {
        value: index if index == IGNORED else index_of[index]
        for value, index in (dict(case.class_of_value) or other.class_of_value).items()
    }
    annotated = None if case.annotated is None else frozenset(index_of[index] for index in case.annotated)
    return replace(
        case,
        case_id=f"{other.name}-{case.case_id}",
        group=f"{other.name}-{case.own_patient}",
        copy_group="",
        annotated=annotated,
        class_of_value=tuple(sorted(pairs.items())),
        is_other_background=other.is_other_background,
    )
