"""Faulty cases stop a run, or are reported and left out."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from aunet.data.cohort.case import Case
from aunet.data.cohort.faulty_cases import each_usable, usable_cases, without_faulty
from aunet.errors import NoRoomError, UserError


def case_of(name: str) -> Case:
    if name.startswith("bad"):
        raise UserError(f"{name} is bad")
    return Case(name, (Path(f"{name}.nii"),), None)


def cases(*names: str) -> list[Case]:
    return [Case(name, (), None) for name in names]


def test_cases_come_sorted() -> None:
    assert [case.case_id for case in usable_cases(["b", "c", "a"], case_of, "stop")] == ["a", "b", "c"]


def test_the_first_fault_stops() -> None:
    with pytest.raises(UserError, match="bad 1 is bad"):
        usable_cases(["a", "bad 1", "bad 2"], case_of, "stop")


def test_faults_are_reported_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    assert [case.case_id for case in usable_cases(["bad 1", "a", "bad 2"], case_of, "skip")] == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "Skipped, as data.on_error=skip: bad 1 is bad",
        "Skipped, as data.on_error=skip: bad 2 is bad",
    ]


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "a/b", "a\\b", "a\nb", "a\0b"])
def test_an_id_that_is_not_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="not a plain file name"):
        usable_cases([name], case_of, "stop")


@pytest.mark.parametrize("name", ["Größe 1", "病例_01", "a.b-c", "a b"])
def test_blanks_and_letters_of_any_language_are_welcome(name: str) -> None:
    assert usable_cases([name], case_of, "stop")[0].case_id == name


def test_an_id_twice_is_refused_or_skipped() -> None:
    with pytest.raises(UserError, match="the case id a appears twice"):
        usable_cases(["a", "a"], case_of, "stop")
    assert len(usable_cases(["a", "a"], case_of, "skip")) == 1


def test_none_left_is_refused() -> None:
    with pytest.raises(UserError, match="None of the 2 cases can be used"):
        each_usable(["bad 1", "bad 2"], case_of, "skip")


@pytest.mark.parametrize("faulty", [set[str](), {"c"}, {"a", "g"}, {"a", "b", "c", "d", "e", "f", "g"}])
def test_faulty_cases_are_found_by_halving(faulty: set[str]) -> None:
    prepared: list[int] = []

    def prepare(some: Sequence[Case]) -> None:
        prepared.append(len(some))
        if bad := sorted(faulty & {case.case_id for case in some}):
            raise UserError(f"{bad[0]} is bad")

    left = without_faulty(cases(*"abcdefg"), prepare)
    assert [case.case_id for case in left] == [name for name in "abcdefg" if name not in faulty]
    assert prepared[0] == 7
    assert len(prepared) <= 1 + 6 * len(faulty)


def test_a_lack_of_room_is_not_the_fault_of_a_case() -> None:
    def prepare(some: Sequence[Case]) -> None:
        raise NoRoomError("the disk is full")

    with pytest.raises(NoRoomError):
        without_faulty(cases("a", "b"), prepare)


def test_names_of_cases_that_differ_only_in_case_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert len(usable_cases(["b", "Größe", "GRÖSSE"], case_of, "stop")) == 3
    assert [record.getMessage()[:59] for record in caplog.records] == [
        "The case ids Größe, GRÖSSE differ only in upper and lower c"
    ]
