"""Division of cases into training, validation and test: always whole patients.

Patients are ordered by a hash of (seed, name), and each part takes the first that are left. So the order in which cases
are listed changes nothing, one case more or less moves at most a patient or two across each border, a smaller test or
training part lies inside a larger one, and the same patients are tested whatever ``val`` is.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from aunet.data.cohort.case import Case
from aunet.data.cohort.joined_names import JoinedNames
from aunet.errors import UserError

_logger = logging.getLogger(__name__)
_FEWEST_PATIENTS = 3

Presence = Mapping[str, frozenset[int]]
"""case_id -> the classes found in its label map."""

_Strata = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Splits:
    """The case ids of each part, in order of the dataset."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def as_dict(self) -> dict[str, list[str]]:
        """Return lists by part, as ``splits.json`` holds them."""
        return {part: list(case_ids) for part, case_ids in asdict(self).items()}


@dataclass(frozen=True)
class SplitSizes:
    """Number of patients in each part, or their share if it is below 1.

    ``train``, of all patients, includes those of validation; None takes all that are not tested. ``val`` is carved out
    of ``train`` and is a share of it. ``test`` is of all patients.
    """

    val: float
    test: float
    train: float | None = None


@dataclass(frozen=True)
class Fold:
    """Number ``index`` of ``count`` test parts that together are all patients; it takes the place of ``test``."""

    index: int
    count: int


def split_cases(
    cases: Sequence[Case],
    sizes: SplitSizes,
    seed: int,
    fold: Fold | None = None,
    group_of: Mapping[str, str] | None = None,
    presence: Presence | None = None,
) -> Splits:
    """Divide the patients of a dataset.

    Args:
        cases: the labelled cases of the dataset.
        sizes: those of the parts.
        seed: the same seed and patients make the same parts.
        fold: test this fold of a cross-validation.
        group_of: case_id -> group that stays together, such as the hospital; groups that share a patient are one.
        presence: if given, each part gets its share of the patients that have the same classes.

    Examples:
        >>> cases = [Case(f"scan_{number}", (), None) for number in range(10)]
        >>> splits = split_cases(cases, SplitSizes(val=0.25, test=2), seed=0)
        >>> len(splits.train), len(splits.val), len(splits.test)
        (6, 2, 2)
    """
    groups = _groups(cases, group_of)
    strata = _strata(groups, presence or {})
    ordered = sorted(strata, key=lambda group: _rank(group, seed))
    test_sizes = _test_sizes(sizes.test, fold, len(ordered))
    train_size = _train_size(sizes.train, test_sizes[-1], len(ordered))
    tested, left = list[str](), ordered
    for size in test_sizes:
        tested, left = _take(left, size, strata)
    training, _ = _take([group for group in ordered if group not in set(tested)], train_size, strata)
    validated, trained = _take(training, _val_size(sizes.val, len(training)), strata)
    parts = {"train": trained, "val": validated, "test": tested}
    return Splits(**{part: _cases_of(members, cases, groups) for part, members in parts.items()})


def _groups(cases: Sequence[Case], group_of: Mapping[str, str] | None) -> dict[str, str]:
    """Return case_id -> its patient, or the name of its group and of all groups that patients join to it."""
    if not group_of:
        return {case.case_id: case.patient for case in cases}
    groups_of_patient = defaultdict[str, set[str]](set)
    for case in cases:
        groups_of_patient[case.patient].add(group_of[case.case_id])
    joined = JoinedNames(group_of.values())
    for groups in groups_of_patient.values():
        joined.join(groups)
    return {case_id: joined.leader(group) for case_id, group in group_of.items()}


def carve_validation(cases: Sequence[Case], val: float, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide training cases into those that train and those that validate, ``val`` as in ``SplitSizes``."""
    groups = {case.case_id: case.patient for case in cases}
    strata = _strata(groups, {})
    ordered = sorted(strata, key=lambda group: _rank(group, seed))
    validated, trained = _take(ordered, _val_size(val, len(ordered)), strata)
    return _cases_of(trained, cases, groups), _cases_of(validated, cases, groups)


def check_patients(splits: Splits, cases: Sequence[Case], source: str) -> None:
    """Raise UserError for a patient in two parts; ``source`` names the origin of the splits.

    Different patients with copies of one file are only a warning, as runs of earlier versions did not look for them.
    """
    for patient, places in _divided(splits, cases, lambda case: case.own_patient):
        raise UserError(
            f"{source}: patient {patient} is in {places}. Scores of a patient that was trained on say nothing of"
            " others: keep all cases of a patient in one part."
        )
    for _, places in _divided(splits, cases, lambda case: case.patient):
        _logger.warning(
            "%s: cases with copies of one file are in %s. Scores of a scan that was trained on say nothing of others:"
            " make a new split, which keeps them in one part.",
            *(source, places),
        )


def _divided(splits: Splits, cases: Sequence[Case], patient_of: Callable[[Case], str]) -> Iterator[tuple[str, str]]:
    """Yield each patient in several parts, with these parts and a case in each."""
    part_of_case = {case_id: part for part, case_ids in splits.as_dict().items() for case_id in case_ids}
    found = defaultdict[str, dict[str, str]](dict)
    for case in cases:
        if part := part_of_case.get(case.case_id):
            found[patient_of(case)][part] = case.case_id
    for patient, part_cases in found.items():
        if len(part_cases) > 1:
            yield patient, ", ".join(f"{part} ({case_id})" for part, case_id in part_cases.items())


def _rank(group: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {group}".encode()).hexdigest()


def _strata(groups: Mapping[str, str], presence: Presence) -> _Strata:
    """Return the classes of each group; none for every group if nothing is known of presence."""
    found = defaultdict[str, set[int]](set)
    for case_id, group in groups.items():
        found[group] |= presence.get(case_id, frozenset())
    return {group: tuple(sorted(classes)) for group, classes in found.items()}


def _test_sizes(test: float, fold: Fold | None, total: int) -> list[int]:
    """Return how many groups each fold tests, up to and including this one."""
    if fold is None:
        return [_number(test, total)]
    if not 2 <= fold.count <= total:
        raise UserError(f"data.split.folds={fold.count}: it must be 2 to {total}, the number of patients.")
    if not 0 <= fold.index < fold.count:
        raise UserError(f"data.fold={fold.index}: with data.split.folds={fold.count} it is one of 0..{fold.count - 1}.")
    return [(index + 1) * total // fold.count - index * total // fold.count for index in range(fold.index + 1)]


def _take(ordered: list[str], size: int, strata: _Strata) -> tuple[list[str], list[str]]:
    """Return the first ``size`` groups, from each stratum its share, and the rest."""
    total, before, taken = len(ordered), 0, set[str]()
    for stratum in sorted({strata[group] for group in ordered}):
        members = [group for group in ordered if strata[group] == stratum]
        upto = before + len(members)
        taken.update(members[: upto * size // total - before * size // total])
        before = upto
    return [group for group in ordered if group in taken], [group for group in ordered if group not in taken]


def _number(size: float, total: int) -> int:
    return max(1, round(size * total)) if size < 1 else int(size)


def _train_size(train: float | None, tested: int, total: int) -> int:
    """Return how many groups train and validate; raise UserError if there are too few."""
    wanted = max(2, total - tested) if train is None else _number(train, total)
    if wanted < 2 or tested + wanted > total:
        told = "at least " if train is None else ""
        remedy = "Give numbers that fit, or shares: data.split.train=null data.split.test=0.2."
        if total < _FEWEST_PATIENTS:
            remedy = "Add patients: one to train on, one to validate and one to test are the fewest."
        raise UserError(
            f"data.split: {tested} patients to test and {told}{wanted} to train and validate (at least two) make"
            f" {tested + wanted}; the data have {total}. {remedy}"
        )
    return wanted


def _val_size(val: float, training: int) -> int:
    wanted = _number(val, training)
    if wanted >= training:
        raise UserError(
            f"data.split.val={val}: {wanted} of {training} training patients validate, which leaves none to train on."
            " Give a smaller share or number."
        )
    return wanted


def _cases_of(members: Collection[str], cases: Sequence[Case], groups: Mapping[str, str]) -> tuple[str, ...]:
    chosen = set(members)
    return tuple(case.case_id for case in cases if groups[case.case_id] in chosen)
