"""Checks that a label map holds the expected classes."""

from collections.abc import Iterator

from aunet.data.cohort.case import Case, Cohort
from aunet.doctor.case_facts import CaseFacts
from aunet.doctor.finding import EMPTY_LABEL, UNKNOWN_VALUES, Finding

_MOST_SHOWN = 8


def check_label(case: Case, cohort: Cohort, facts: CaseFacts) -> Iterator[Finding]:
    """Yield the findings about the values of one label map."""
    unknown = [value for value in facts.values if value not in cohort.class_of_value]
    if unknown and not cohort.is_other_background:
        yield Finding(UNKNOWN_VALUES, case.case_id, f"values {shortened(unknown)}; known are {known_values(cohort)}")
    if not facts.classes and not (unknown and not cohort.is_other_background):
        yield Finding(EMPTY_LABEL, case.case_id, "no voxel of any class")
    elif len(facts.values) == 1 and 0 not in facts.values:
        yield Finding(EMPTY_LABEL, case.case_id, f"every voxel is {next(iter(facts.values))}: no background")


def known_values(cohort: Cohort) -> str:
    """List the values that have a class, as in ``0 background, 1 spleen``."""
    names = cohort.labels.names
    return ", ".join(f"{value} {names[index]}" for value, index in sorted(cohort.class_of_value.items()))


def shortened(values: list[int]) -> str:
    """List the first few values and count the rest."""
    rest = len(values) - _MOST_SHOWN
    return ", ".join(map(str, values[:_MOST_SHOWN])) + (f" and {rest} more" if rest > 0 else "")
