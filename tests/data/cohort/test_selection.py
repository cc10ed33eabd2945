"""A file of fixes leaves cases out and assigns values to classes; one that does not fit is refused."""

import json
from pathlib import Path

import pytest

from aunet.classes import Labels
from aunet.data.cohort.case import Case, Cohort
from aunet.data.cohort.selection import CaseFixes, mended_cohort, read_fixes, write_fixes
from aunet.errors import UserError


@pytest.fixture
def cohort() -> Cohort:
    cases = tuple(Case(name, (Path(name),), None) for name in "abc")
    return Cohort("balls", cases, Labels(("background", "ball")), {0: 0, 1: 1}, "mr", "3 balls")


def test_written_fixes_are_read_back(tmp_path: Path) -> None:
    fixes = CaseFixes({"b": "too dark", "a": "ü"}, {255: "ball"})
    write_fixes(tmp_path / "fixes.json", fixes)
    assert read_fixes(tmp_path / "fixes.json") == fixes


def test_cases_are_left_out_and_values_get_their_class(cohort: Cohort, tmp_path: Path) -> None:
    write_fixes(tmp_path / "fixes.json", CaseFixes({"b": "dark", "gone": "never there"}, {255: "ball"}))
    mended = mended_cohort(cohort, tmp_path / "fixes.json")
    assert [case.case_id for case in mended.cases] == ["a", "c"]
    assert mended.class_of_value == {0: 0, 1: 1, 255: 1}
    assert mended.description == "3 balls, 1 of them left out by fixes.json"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "cannot be read"),
        ('{"leave_out": {}}', "class_of_value"),
        ('{"leave_out": {}, "class_of_value": {"many": "ball"}}', "cannot be read"),
        ('{"leave_out": {}, "class_of_value": {"2": "box"}}', "no class 'box'; there are background, ball"),
        (json.dumps({"leave_out": dict.fromkeys("abc", ""), "class_of_value": {}}), "leaves out all 3 cases"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(content: str, message: str, cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "fixes.json").write_text(content)
    with pytest.raises(UserError, match=message):
        mended_cohort(cohort, tmp_path / "fixes.json")
