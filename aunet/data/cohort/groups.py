"""Facts about cases that a split needs: which belong together, and which classes each one has."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from aunet.classes import IGNORED
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.references import read_reference
from aunet.data.cohort.splits import Presence
from aunet.errors import UserError
from aunet.terminal import shown

# Each thread holds a label map in memory.
_THREADS = 4


def groups_by_name(cases: Sequence[Case], pattern: str) -> dict[str, str]:
    """Map case_id to the text that the regular expression ``pattern`` finds in it: its first group, or the whole match.

    Raises:
        UserError: if the pattern is not a regular expression or a case does not match it.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"data.split.group={pattern}: not a regular expression ({error}).") from None
    groups: dict[str, str] = {}
    for case in cases:
        match = expression.search(case.case_id)
        if match is None:
            raise UserError(
                f"data.split.group={pattern}: finds nothing in the name of case {case.case_id}. Correct the regular"
                " expression, or set data.split.group=null if no two cases are of one patient."
            )
        groups[case.case_id] = next((text for text in match.groups() if text is not None), match.group())
    return groups


def present_classes(cohort: Cohort) -> Presence:
    """Read every label map, showing progress, and map case_id to the classes in it, the background left out.

    Of regions that overlap, each counts whose part is there.
    """

    def read(case: Case) -> frozenset[int]:
        values = np.unique(read_reference(case, cohort).array)
        found = [int(value) for value in values if value not in (0, IGNORED)]
        return frozenset(index for value in found for index in cohort.labels.classes_with(value))

    with ThreadPoolExecutor(_THREADS) as threads:
        found = shown(threads.map(read, cohort.cases), "Reading which classes each case has", len(cohort.cases))
        return {case.case_id: classes for case, classes in zip(cohort.cases, found, strict=True)}
