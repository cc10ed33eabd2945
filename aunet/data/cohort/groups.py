"""Groups of cases that belong together, such as those of one patient, found in their names."""

import re
from collections.abc import Sequence

from aunet.data.cohort.case import Case
from aunet.errors import UserError


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
