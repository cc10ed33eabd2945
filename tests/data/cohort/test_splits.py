"""Whole patients stay on one side of a split, which is the same whatever else changes."""

from collections import Counter
from dataclasses import replace

import pytest

from aunet.data.cohort.case import Case
from aunet.data.cohort.splits import Fold, Splits, SplitSizes, check_patients, split_cases
from aunet.errors import UserError

USUAL = SplitSizes(val=0.1, test=0.2)


def cases(count: int, per_patient: int = 1) -> list[Case]:
    return [Case(f"case_{i:03d}", (), None, group=f"patient_{i // per_patient}") for i in range(count)]


def sizes_of(splits: Splits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.val), len(splits.test)


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [
        (150, USUAL, (108, 12, 30)),
        (150, SplitSizes(train=120, val=0.1, test=30), (108, 12, 30)),
        (150, SplitSizes(train=30, val=0.1, test=120), (27, 3, 120)),
        (82, SplitSizes(train=61, val=6, test=21), (55, 6, 21)),
        (200, SplitSizes(train=120, val=12, test=30), (108, 12, 30)),
        (3, USUAL, (1, 1, 1)),
    ],
)
def test_shares_and_numbers_give_the_sizes_the_papers_among_them(
    count: int, sizes: SplitSizes, expected: tuple[int, int, int]
) -> None:
    splits = split_cases(cases(count), sizes, seed=0)
    assert sizes_of(splits) == expected
    assert len({*splits.train, *splits.val, *splits.test}) == sum(expected)


def test_no_patient_is_in_two_parts() -> None:
    splits = split_cases(cases(60, per_patient=3), SplitSizes(val=0.2, test=0.2), seed=1)
    patient_of = {case.case_id: case.patient for case in cases(60, per_patient=3)}
    parts = [{patient_of[case_id] for case_id in part} for part in (splits.train, splits.val, splits.test)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 20


def test_the_seed_decides() -> None:
    assert split_cases(cases(20), USUAL, seed=3) == split_cases(cases(20), USUAL, seed=3)
    assert split_cases(cases(20), USUAL, seed=3) != split_cases(cases(20), USUAL, seed=4)


def test_the_order_in_which_cases_are_listed_changes_no_part() -> None:
    forwards, backwards = (split_cases(order, USUAL, seed=0) for order in (cases(30), cases(30)[::-1]))
    for part in ("train", "val", "test"):
        assert sorted(getattr(forwards, part)) == sorted(getattr(backwards, part))


def test_another_case_moves_at_most_two_patients_across_a_border() -> None:
    before = split_cases(cases(100), USUAL, seed=0)
    for newcomer in range(20):
        after = split_cases([*cases(100), Case(f"new_{newcomer}", (), None)], USUAL, seed=0)
        assert len(set(before.test) - set(after.test)) <= 1
        assert len(set(before.val) - set(after.val)) <= 2


def test_fewer_training_patients_are_some_of_those_of_more() -> None:
    few, many = (split_cases(cases(150), SplitSizes(train=n, val=5, test=30), seed=0) for n in (30, 120))
    assert {*few.train, *few.val} < {*many.train, *many.val}
    assert few.test == many.test


@pytest.mark.parametrize(("count", "folds"), [(20, 5), (23, 5), (7, 7)])
def test_folds_test_every_patient_exactly_once(count: int, folds: int) -> None:
    splits = [split_cases(cases(count), USUAL, seed=0, fold=Fold(index, folds)) for index in range(folds)]
    tested = [case_id for split in splits for case_id in split.test]
    assert sorted(tested) == [case.case_id for case in cases(count)]
    assert max(len(split.test) for split in splits) - min(len(split.test) for split in splits) <= 1
    for split in splits:
        assert sorted((*split.train, *split.val, *split.test)) == [case.case_id for case in cases(count)]


def test_stratified_parts_have_their_share_of_a_class_that_few_have() -> None:
    rare = {f"case_{i:03d}" for i in range(0, 40, 4)}
    presence = {case.case_id: frozenset({1, 2} if case.case_id in rare else {1}) for case in cases(40)}
    for seed in range(5):
        for index in range(5):
            splits = split_cases(cases(40), USUAL, seed, Fold(index, 5), presence=presence)
            assert len(rare & set(splits.test)) == 2
            assert sizes_of(splits)[2] == 8


def test_classes_that_each_one_patient_has_are_spread_over_the_folds() -> None:
    presence = {case.case_id: frozenset({number}) for number, case in enumerate(cases(20))}
    splits = [split_cases(cases(20), USUAL, 0, Fold(index, 5), presence=presence) for index in range(5)]
    assert Counter(len(split.test) for split in splits) == {4: 5}


def test_a_given_group_stays_together_in_place_of_the_patient() -> None:
    hospital_of = {case.case_id: f"hospital_{number % 5}" for number, case in enumerate(cases(50))}
    splits = split_cases(cases(50), SplitSizes(val=0.25, test=0.2), 0, group_of=hospital_of)
    assert sizes_of(splits) == (30, 10, 10)
    assert len({hospital_of[case_id] for case_id in splits.test}) == 1


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_share_a_patient_are_one_group(seed: int) -> None:
    hospital_of = {case.case_id: f"hospital_{number // 4}" for number, case in enumerate(cases(40))}
    moved = [replace(case, group="moved") if number in (0, 5, 39) else case for number, case in enumerate(cases(40))]
    splits = split_cases(moved, USUAL, seed, group_of=hospital_of)
    assert sum(sizes_of(splits)) == 40
    shared = ("hospital_0", "hospital_1", "hospital_9")
    together = {case_id for case_id, hospital in hospital_of.items() if hospital in shared}
    assert [together <= set(part) for part in splits.as_dict().values()].count(True) == 1


def test_a_patient_in_two_parts_is_refused() -> None:
    splits = Splits(("case_000",), ("case_002",), ("case_001",))
    with pytest.raises(UserError, match=r"patient patient_0 is in train \(case_000\), test \(case_001\)"):
        check_patients(splits, cases(4, per_patient=2), "splits.json")


@pytest.mark.parametrize(
    ("count", "sizes", "message"),
    [
        (2, USUAL, r"1 patients to test and at least 2 .* make 3; the data have 2\. Add patients"),
        (80, SplitSizes(train=61, val=0.1, test=21), r"21 patients to test and 61 .* make 82; the data have 80"),
        (10, SplitSizes(train=1, val=0.1, test=0.2), r"2 patients to test and 1 to train"),
        (20, SplitSizes(val=0.1, test=30), r"30 patients to test and at least 2"),
        (10, SplitSizes(val=8, test=0.2), r"data\.split\.val=8: 8 of 8 training patients"),
    ],
)
def test_sizes_that_cannot_be_met_are_refused_with_the_numbers(count: int, sizes: SplitSizes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_cases(cases(count), sizes, seed=0)


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        (Fold(5, 5), r"data\.fold=5: with data\.split\.folds=5 it is one of 0\.\.4"),
        (Fold(0, 11), r"folds=11: it must be 2 to 10"),
    ],
)
def test_a_fold_that_there_is_not_is_refused(fold: Fold, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_cases(cases(10), USUAL, 0, fold)
