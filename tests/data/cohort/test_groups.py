"""Facts of cases before they are split."""

from pathlib import Path

import numpy as np
import pytest
from scans import write_nifti

from aunet.classes import Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.groups import groups_by_name
from aunet.data.cohort.references import present_classes
from aunet.errors import UserError


@pytest.mark.parametrize(("pattern", "group"), [("SC-(HF|N)-", "HF"), (r"SC-\w+-\d+", "SC-HF-01")])
def test_the_name_of_a_case_determines_its_group(pattern: str, group: str) -> None:
    assert groups_by_name([Case("SC-HF-01-IM-7", (), None)], pattern) == {"SC-HF-01-IM-7": group}


@pytest.mark.parametrize(("pattern", "message"), [("(", "not a regular expression"), ("x", "name of case SC-1")])
def test_a_pattern_that_groups_nothing_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        groups_by_name([Case("SC-1", (), None)], pattern)


def test_the_classes_of_each_case_are_read_from_its_label(tmp_path: Path) -> None:
    values = {"a": (0, 7), "b": (0, 0), "c": (7, 9)}
    cases = tuple(
        Case(name, (), write_nifti(tmp_path / f"{name}.nii.gz", np.array(pair, np.uint8).reshape(1, 1, 2)))
        for name, pair in values.items()
    )
    cohort = Cohort("x", cases, Labels(("background", "liver", "spleen")), {0: 0, 7: 1, 9: 2}, "ct", "")
    assert present_classes(cohort) == {"a": {1}, "b": frozenset(), "c": {1, 2}}
