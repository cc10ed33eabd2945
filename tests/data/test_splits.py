"""Whole patients stay on one side of a split."""

import pytest

from aunet.data.case import Case
from aunet.data.splits import split_cases
from aunet.errors import UserError


def cases(count: int, per_patient: int = 1) -> list[Case]:
    return [Case(f"case_{i:03d}", (), None, group=f"patient_{i // per_patient}") for i in range(count)]


def test_every_case_is_in_exactly_one_part() -> None:
    splits = split_cases(cases(150), val=0.1, test=0.2, seed=0)
    assert sorted((*splits.train, *splits.val, *splits.test)) == [case.case_id for case in cases(150)]
    assert (len(splits.train), len(splits.val), len(splits.test)) == (105, 15, 30)


def test_no_patient_is_in_two_parts() -> None:
    splits = split_cases(cases(60, per_patient=3), val=0.2, test=0.2, seed=1)
    patient_of = {case.case_id: case.patient for case in cases(60, per_patient=3)}
    parts = [{patient_of[case_id] for case_id in part} for part in (splits.train, splits.val, splits.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]


def test_the_seed_decides() -> None:
    assert split_cases(cases(20), 0.2, 0.2, seed=3) == split_cases(cases(20), 0.2, 0.2, seed=3)
    assert split_cases(cases(20), 0.2, 0.2, seed=3) != split_cases(cases(20), 0.2, 0.2, seed=4)


@pytest.mark.parametrize(("count", "val", "test"), [(2, 0.1, 0.2), (10, 0.5, 0.5), (10, 0.0, 0.2), (10, 0.2, -0.1)])
def test_a_split_that_leaves_a_part_empty_is_refused(count: int, val: float, test: float) -> None:
    with pytest.raises(UserError, match=r"data\.split"):
        split_cases(cases(count), val, test, seed=0)
